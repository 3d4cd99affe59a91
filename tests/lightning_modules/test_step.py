"""Every training step of the experiments: none waits for the device, and its settings leave the losses as they are."""

import functools

import pytest
import torch
from torch import nn

from medzoo.lightning_modules.optimization import OptimizedModule
from medzoo.lightning_modules.step import FORMATS, StepSettings, blocks_of, fused, prepare
from tests.host_sync import HostSync
from tests.steps import Step, training_steps


@pytest.fixture(scope="module")
def steps(tmp_path_factory, phantoms) -> list[Step]:
    return list(training_steps(tmp_path_factory.mktemp("steps"), phantoms))


@pytest.fixture(autouse=True)
def several_optimisers_go_backward_too(monkeypatch):
    monkeypatch.setattr(OptimizedModule, "descend", lambda self, part, loss, **_: loss.backward())
    monkeypatch.setattr(OptimizedModule, "log", lambda *_, **__: None)
    monkeypatch.setattr(OptimizedModule, "log_dict", lambda *_, **__: None)


def backward(module, batch, seed=0):
    """A training step without the optimiser; returns its loss."""
    torch.manual_seed(seed)
    module.zero_grad()
    loss = module.training_step(batch, 0)
    if module.automatic_optimization:
        loss.backward()
    return loss


def train(step, count=2, **settings):
    """Losses of some steps, and what they leave behind."""
    module = step.module(**settings)
    for part in module.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.p = 0.0  # masks are drawn in the order of the memory
    prepare(module.networks, module._step)
    weights, losses = [weight for weight in module.parameters() if weight.requires_grad], []
    for seed in range(count):
        losses.append(float(backward(module, _double(step.batch), seed)))
        with torch.no_grad():
            for weight in weights:
                if weight.grad is not None:
                    weight -= 1e-2 * weight.grad / (weight.grad.norm() + 1)
    return losses, module.state_dict()


def _double(batch):
    return {
        name: value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for name, value in batch.items()
    }


@pytest.fixture(scope="module")
def plain():
    """Losses and weights without any setting, by step: of each module once."""
    return {}


def check(steps, plain, **settings):
    for step in steps:
        if step.name not in plain:
            plain[step.name] = train(step)
        (expected, weights), (found, others) = plain[step.name], train(step, **settings)
        assert found == pytest.approx(expected, rel=1e-8), step.name
        assert list(others) == list(weights), step.name
        for name, weight in weights.items():
            same = torch.isclose(others[name], weight, rtol=1e-6, atol=1e-8, equal_nan=True).all()
            assert same, f"{step.name}: {name}"


@pytest.mark.slow
def test_no_step_waits_for_the_device(steps):
    for step in steps:
        module = step.module()
        batch = module.transfer_batch_to_device(step.batch, torch.device("cpu"), 0)
        tensors = [*module.parameters(), *module.buffers(), *batch.values()]
        with HostSync([each for each in tensors if isinstance(each, torch.Tensor)]):
            try:
                backward(module, batch)
            except AssertionError as error:
                raise AssertionError(f"{step.name}: {error}") from error


def test_every_module_is_there_and_takes_the_settings(steps):
    kinds = {type(step.module()) for step in steps}

    def leaves(kind):
        below = [each for each in kind.__subclasses__() if each.__module__.startswith("medzoo.")]
        return [leaf for each in below for leaf in leaves(each)] or [kind]

    assert kinds == {*leaves(OptimizedModule)}
    for step in steps:
        assert set(StepSettings.__annotations__) <= step.config["lightning_module"].keys(), step.name


@pytest.mark.parametrize("setting", ["channels_last", "gradient_checkpointing"])
def test_a_setting_leaves_losses_weights_and_statistics_as_they_are(setting, steps, plain, float64):
    check(steps, plain, **{setting: True})


@pytest.mark.slow
def test_compiled_networks_learn_the_same(steps, plain, float64, monkeypatch):
    compiled = []

    def backend(graph, _):
        compiled.append(graph)
        return graph

    monkeypatch.setattr(nn.Module, "compile", functools.partialmethod(nn.Module.compile, backend=backend))
    for step in steps:
        torch.compiler.reset()
        compiled.clear()
        check([step], plain, compile=True)
        assert compiled, f"{step.name}: nothing was compiled"


def test_a_network_without_blocks_says_so():
    with pytest.raises(ValueError, match="gradient_checkpointing=true: Linear has no blocks to compute again"):
        prepare([nn.Linear(2, 2)], {"gradient_checkpointing": True})


def test_blocks_are_the_outermost_entries_of_lists():
    inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    block = nn.Sequential()
    block.append(nn.Linear(2, 2))
    net = nn.Module()
    net.stem, net.stages = inner, nn.ModuleList([block, nn.Identity(), nn.Sequential(nn.ModuleDict({"a": inner}))])
    assert blocks_of(net) == [block, net.stages[2][0]]


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD])
def test_optimisers_of_torch_are_fused_unless_told_otherwise(kind):
    assert fused(functools.partial(kind, lr=1.0)).keywords == {"lr": 1.0, "fused": True}
    for said in ({"fused": False}, {"foreach": True}):
        assert fused(functools.partial(kind, **said)).keywords == said
    assert fused(torch.optim.LBFGS) is torch.optim.LBFGS


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d, nn.InstanceNorm3d])
def test_instance_norms_of_one_image_learn_the_same_with_channels_last(norm, float64):
    """Without the hook of `prepare`, torch 2.14 gives other gradients on a CPU."""
    size = (1, 4, 6, 6) if norm is nn.InstanceNorm2d else (1, 4, 6, 6, 6)
    image, wanted = torch.randn(2, *size)
    found = []
    for last in (False, True):
        net = nn.Sequential(norm(4))
        prepare([net], {"channels_last": last})
        given = image.clone().requires_grad_()
        gradient = wanted.contiguous(memory_format=FORMATS[wanted.ndim]) if last else wanted
        found += torch.autograd.grad(net(given), given, gradient)
    torch.testing.assert_close(*found)
