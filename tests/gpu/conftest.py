"""Tests that need a GPU, skipped without one. With MEDZOO_GPU_TESTS_ON=cpu most are tried on a CPU."""

import os

import pytest
import torch

ON = os.environ.get("MEDZOO_GPU_TESTS_ON", "cuda")


@pytest.fixture(autouse=True)
def needs_gpu(request):
    """Skip without a GPU, or with fewer than the test's mark says."""
    if ON == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    if ON != "cuda" and request.node.get_closest_marker("cuda_only"):
        pytest.skip("cannot be tried on a CPU")


@pytest.fixture
def device():
    return torch.device(ON)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """Folder of the phantoms of all experiments: each is made once."""
    return tmp_path_factory.mktemp("phantoms")
