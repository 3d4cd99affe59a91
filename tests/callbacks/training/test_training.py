import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from medzoo.callbacks import FiniteGuard, StepSeed
from medzoo.lightning_modules import ClassificationModule
from medzoo.models import ClassificationLoss


class Spoil(nn.Module):
    """Gives infinity in its third call."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, value):
        self.calls += 1
        return value / 0.0 if self.calls >= 3 else value


def module(net):
    return ClassificationModule(
        net, ClassificationLoss("binary"), lambda params: torch.optim.SGD(params, lr=0.01), task="binary", num_classes=2
    )


def fit(net, *callbacks, batches=None, **options):
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    batch = {"image": torch.ones(4, 1, 2, 2), "label": torch.tensor([0, 1, 0, 1]), "id": list("abcd")}
    trainer = L.Trainer(callbacks=list(callbacks), max_epochs=1, **(quiet | options))
    trainer.fit(module(net), DataLoader(batches or [batch] * 5, batch_size=None))
    return trainer


def test_guard_names_the_layer_that_went_wrong():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), Spoil(), nn.Linear(3, 2))
    with pytest.raises(FloatingPointError, match=r"step 2; first bad tensor: output of net\.2 \(4, 3\)"):
        fit(net, FiniteGuard())


def test_guard_names_the_batch():
    bad = {"image": torch.full((2, 1, 2, 2), torch.nan), "label": torch.tensor([0, 1]), "id": ["a", "b"]}
    with pytest.raises(FloatingPointError, match=r"first bad tensor: batch\['image'\] \(2, 1, 2, 2\)"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), FiniteGuard(), batches=[bad])


def test_guard_names_the_weight():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    nn.init.constant_(net[1].bias, torch.inf)
    with pytest.raises(FloatingPointError, match=r"weights of net\.1\.bias"):
        fit(net, FiniteGuard())


def test_guard_lets_good_runs_pass():
    assert fit(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), FiniteGuard(every_n_steps=2)).global_step == 5


def test_step_seed_makes_noise_a_function_of_the_step():
    class Noise(nn.Module):
        def __init__(self):
            super().__init__()
            self.drawn = []

        def forward(self, value):
            self.drawn.append(torch.rand(1).item())
            return value

    nets = []
    for seed, disturbed in ((1, False), (1, True), (2, False)):
        torch.manual_seed(99 if disturbed else 0)
        torch.rand(7 if disturbed else 1)
        nets.append(nn.Sequential(nn.Flatten(), nn.Linear(4, 2), Noise()))
        fit(nets[-1], StepSeed(seed))
    same, again, other = (net[2].drawn for net in nets)
    assert same == again
    assert same != other
    assert len(set(same)) == 5, "every step draws anew"
