"""Shared by the tests of networks."""

import pytest
import torch


@pytest.fixture
def float64(monkeypatch):
    """All in float64, also where a network asks for float32, so that agreement shows to the last digits."""
    before, double = torch.get_default_dtype(), torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", lambda x: x if x.is_floating_point() else double(x))
    yield
    torch.set_default_dtype(before)
