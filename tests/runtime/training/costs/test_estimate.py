"""What a run is estimated to need, without data."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from medzoo.runtime.plan import make_plan
from medzoo.runtime.training.costs.allocations import Allocations
from medzoo.runtime.training.costs.estimate import estimate
from medzoo.runtime.training.costs.shapes import Flops, shapes_only
from medzoo.runtime.training.peaks import peak_tflops
from tests.conftest import call_verb, compose


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(32, 96, bias=False)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(2, (3, 4, 8)).permute(2, 0, 3, 1, 4)
        return nn.functional.scaled_dot_product_attention(q, k, v)


def step(network, size, *, fake):
    """Operations and peak MB of a forward and backward pass."""
    if fake:
        with shapes_only() as shapes:
            shapes.take(network)
            return step(network, size, fake=False)
    image = torch.zeros(size)
    with Allocations() as held, Flops() as flops:
        network(image).square().mean().backward()
    return flops.count, held.peak


@pytest.mark.parametrize("fake", [True, False])
def test_operations_of_a_convolution_are_those_of_the_textbook(fake):
    network = nn.Conv3d(4, 8, 3, padding=1, bias=False)
    count, _ = step(network, (2, 4, 8, 16, 16), fake=fake)
    forward = 2 * (2 * 8 * 16 * 16) * 8 * 4 * 27
    assert count == 2 * forward, "the backward pass has the weights' gradient; the image needs none"


@pytest.mark.parametrize("fake", [True, False])
def test_operations_of_attention_are_those_of_the_textbook(fake):
    batch, tokens, heads, width = 2, 100, 4, 8
    count, _ = step(Attention(), (batch, tokens, heads * width), fake=fake)
    linear = 2 * batch * tokens * 32 * 96
    product = 2 * batch * heads * tokens * tokens * width
    # forward: q k' and weights v; backward: the weights again, and two products for each of both
    assert count == 2 * linear + 2 * product + 5 * product


def test_operations_are_those_that_torch_counts():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 5))
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(4, 3, 16, 16)).sum().backward()
    assert step(network, (4, 3, 16, 16), fake=False)[0] == counter.get_total_flops()


def test_memory_of_shapes_is_that_of_tensors():
    network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.GELU(), nn.Conv2d(32, 3, 3))
    real, fake = (step(network, (8, 3, 64, 64), fake=fake)[1] for fake in (False, True))
    assert fake == pytest.approx(real, rel=0.02)


def test_values_of_small_tensors_stay_and_others_take_the_longest_way():
    with shapes_only():
        label, image = torch.arange(6) % 3, torch.rand(1000, 1000)
        assert label.eq(1).nonzero().flatten().tolist() == [1, 4]
        assert bool(image.mean() > 2)
        assert image.argmax().item() == 1
        assert image[image > 0.5].shape == (1_000_000,)


def test_values_that_are_drawn_until_they_lie_within_bounds_take_no_time():
    with shapes_only():
        assert nn.init.trunc_normal_(torch.empty(1000, 1000), std=0.02).shape == (1000, 1000)


def test_full_experiments_are_estimated_without_data(tmp_path):
    wanted = {
        "medmnist_classification": (11.2e6, [], 500),
        "hlhs_rvae": (10.2e6, ["datamodule.root=x"], None),
        "medmnist_cvae_3d": (0.348e6, ["stages.plain=null"], 592),  # its network chooses a memory format
    }
    for name, (parameters, words, steps) in wanted.items():
        (found,) = estimate(make_plan(compose(tmp_path / "run", f"experiment={name}", *words))).values()
        assert found.parameters == pytest.approx(parameters, rel=0.02)
        assert found.weights == pytest.approx(4 * found.parameters / 2**30, rel=0.02)
        assert found.optimizer == pytest.approx(2 * found.gradients, rel=0.02), "Adam"
        assert found.steps == steps
        assert ("datamodule.root" in found.missing) == (steps is None)
    assert not list(tmp_path.iterdir())


def test_the_command_prints_a_table_and_writes_nothing(tmp_path):
    run = tmp_path / "run"
    words = ["experiment=medmnist_cvae", "datamodule=medmnist_phantom", f"datamodule.root={tmp_path}"]
    done = call_verb("train", *words, f"hydra.run.dir={run}", "estimate=true")
    assert done.code == 0, done.output
    for word in ("parameters", "peak of a step", "TFLOP", "H200", "30%"):
        assert word in done.output
    assert not run.exists()


def test_a_sweep_is_not_estimated():
    done = call_verb("train", "-m", "experiment=medmnist_cvae", "seed=1,2", "estimate=true")
    assert done.code == 2
    assert "leave out -m" in done.output


def test_peaks_of_cards_follow_the_precision():
    assert peak_tflops("NVIDIA H200", "32-true") == 494
    assert peak_tflops("NVIDIA H200", "bf16-mixed") == 989
    assert peak_tflops("a card of tomorrow", "32-true") is None
