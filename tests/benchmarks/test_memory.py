"""What memory is said to be, beside what is."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.networks.memory import chunked, mambapy
from benchmarks.networks.selective_scan import scan
from medzoo.models.state_space.selective_scan import _STATES
from medzoo.runtime.training.costs.allocations import Allocations

SHAPES = [(1, 4096, 64, 16), (2, 3000, 32, 16), (1, 100, 128, 16), (2, 400, 640, 16), (2, 30, 320, 16)]


def step(method, batch, length, channels, states):
    """MB of a scan's forward and backward pass beside its inputs: kept between the two, and the peak."""
    wide, narrow = (batch, length, channels), (batch, length, states)
    parts = [
        torch.randn(wide),
        torch.rand(wide),
        -torch.rand(channels, states),
        torch.randn(narrow),
        torch.randn(narrow),
    ]
    parts, arriving = [part.requires_grad_() for part in parts], torch.randn(wide)
    with Allocations() as held:
        held.count(*parts, arriving)
        before = held.now
        y = scan(method, *parts)
        kept = held.now - before
        y.backward(arriving)
    return kept, held.peak - before


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_estimate_of_the_scan_is_its_memory(monkeypatch, shape, device):
    monkeypatch.setitem(_STATES, "cpu", _STATES[device])  # chunks as long as there
    kept, peak = step("chunked", *shape)
    assert chunked(*shape, device=device).kept == pytest.approx(kept, rel=0.05)
    assert chunked(*shape, device=device).peak == pytest.approx(peak, rel=0.05)


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_the_estimate_of_mambapy_is_its_memory(shape):
    pytest.importorskip("mambapy")
    kept, peak = step("mambapy", *shape)
    assert mambapy(*shape).kept == pytest.approx(kept, rel=0.05)
    assert mambapy(*shape).peak == pytest.approx(peak, rel=0.05)


def test_allocations_are_those_of_torch():
    layers = torch.nn.Sequential(
        torch.nn.Linear(4, 32), torch.nn.SiLU(), torch.nn.LayerNorm(32), torch.nn.Linear(32, 4)
    )
    image = torch.randn(5000, 4)
    with Allocations() as held:
        layers(image).square().mean().backward()
    layers.zero_grad()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        layers(image).square().mean().backward()
    changes = [event.nbytes() for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    peak = torch.tensor(changes).cumsum(0).max().item() / 2**20
    assert held.peak == pytest.approx(peak, rel=0.15), "an operation's own room is not seen"
    assert held.now == pytest.approx(sum(changes) / 2**20, abs=0.01)


def test_views_count_once_and_the_dead_not_at_all():
    with Allocations() as held:
        one = torch.zeros(2**18)
        other = one.view(512, 512).T[3:]
        assert (held.now, held.peak) == (1, 1)
        del one
        assert held.now == 1
        del other
        two = torch.ones(2**17)
    assert (held.now, held.peak) == (0.5, 1)
    assert two.sum() == 2**17
