"""A training epoch under Lightning, as the zoo runs it, and in a bare PyTorch loop on the same batches.

Both train a copy of the same network with Adam and cross entropy on the CPU, on random images from two equal
`TensorBatches`. Lightning runs `ClassificationModule` with the settings of `conf/trainer/default.yaml`, the per-step
callbacks (`StepSeed`, `FiniteGuard`) and the CSV logger; the bare loop is zero_grad, forward, backward, step. One bare
epoch runs before each Lightning epoch, so other work on the machine affects both equally; a Lightning epoch lasts until
the next one begins. The first epoch is not counted, the medians of the others are compared, and both networks must end
with equal weights. Further rows add a checkpoint in every epoch, and show what Lightning costs when the network costs
nothing.
"""

import copy
import logging
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import OmegaConf
from torch import nn

from benchmarks import ROOT
from benchmarks.tables.row import Row, print_rows
from benchmarks.training.in_turn import InTurn
from medzoo.callbacks import FiniteGuard, StepSeed
from medzoo.datamodules.batches import TensorBatches
from medzoo.lightning_modules import ClassificationModule
from medzoo.models import ClassificationLoss, timm_network
from medzoo.runtime.build import make_trainer
from medzoo.runtime.loggers import csv_logger

__all__ = ["run"]

GOAL = 1.05
LEARNING_RATE = 1e-3


class _Bare:
    """Trains `net` by a plain loop."""

    def __init__(self, net: nn.Module, batches: TensorBatches) -> None:
        self.net, self.batches = net, batches
        self.optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)

    def epoch(self, _: L.Trainer) -> float:
        """Train on all batches; returns the seconds."""
        began = time.perf_counter()
        for batch in self.batches:
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.net(batch["image"]), batch["label"]).backward()
            self.optimizer.step()
        return time.perf_counter() - began


def run(
    *, network: str = "resnet18", batches: int = 10, batch_size: int = 64, image_size: int = 28, epochs: int = 5
) -> list[Row]:
    """Measure a network with the stem for 28-pixel images, without and with checkpoints, and a linear layer.

    Args:
        network: A timm name; must have no dropout, because the bare loop does not seed every step.
        batches: Steps per epoch.
        batch_size: Images per step.
        image_size: Image edge in pixels.
        epochs: Timed epochs per side.

    Returns:
        Three rows, in s/epoch.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # hides the list of devices, printed three times
    warnings.filterwarnings("ignore", message="You defined a `validation_step`")  # only training is timed
    torch.manual_seed(0)
    net = timm_network(network, in_channels=1, num_classes=2, small_stem=True)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(image_size**2, 2))
    images = torch.randint(256, (batches * batch_size, 1, image_size, image_size), dtype=torch.uint8)
    labels = torch.randint(2, (len(images),))
    loader = TensorBatches(images, labels, list(map(str, range(len(images)))), batch_size=batch_size, shuffle=True)
    size = f"{batches} batches of {batch_size}, {image_size} pixels"
    return [
        _compare(f"{network}, {size}", net, loader, epochs, goal=GOAL),
        _compare("the same with a checkpoint each epoch", net, loader, epochs, checkpoint=True),
        _compare(f"linear layer, {size}", linear, loader, epochs),
    ]


def _compare(
    case: str,
    net: nn.Module,
    loader: TensorBatches,
    epochs: int,
    *,
    checkpoint: bool = False,
    goal: float | None = None,
) -> Row:
    """Train copies of `net` on both sides; `net` and `loader` are not changed."""
    trained = copy.deepcopy(net)
    bare = _Bare(copy.deepcopy(net), copy.deepcopy(loader))
    in_turn = InTurn(bare.epoch)
    with tempfile.TemporaryDirectory() as folder:
        _fit(trained, copy.deepcopy(loader), in_turn, epochs + 2, Path(folder), checkpoint)
    for (name, ours), theirs in zip(trained.state_dict().items(), bare.net.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6, msg=f"not the same work: {name} differs")
    lightning, loop = in_turn.medians
    remark = f"{1000 * (lightning - loop) / len(loader):+.2f} ms a step; equal weights after {epochs + 2} epochs"
    return Row(case, "s/epoch", lightning, loop, goal, higher_is_better=False, remark=remark)


def _fit(net: nn.Module, loader: TensorBatches, in_turn: InTurn, epochs: int, folder: Path, checkpoint: bool) -> None:
    module = ClassificationModule(
        net, ClassificationLoss("binary"), partial(torch.optim.Adam, lr=LEARNING_RATE), task="binary", num_classes=2
    )
    callbacks = [in_turn, StepSeed(seed=0), FiniteGuard()]
    if checkpoint:  # `last_epoch` of conf/callbacks/default.yaml
        callbacks.append(ModelCheckpoint(folder, "last", save_on_train_epoch_end=True, enable_version_counter=False))
    settings = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "trainer" / "default.yaml"))
    settings |= {"accelerator": "cpu", "max_epochs": epochs, "limit_val_batches": 0, "enable_progress_bar": False}
    settings["enable_checkpointing"] = checkpoint
    trainer = make_trainer(settings, folder, callbacks=callbacks, logger=csv_logger(folder))
    trainer.fit(module, train_dataloaders=loader)


if __name__ == "__main__":
    print_rows("lightning_overhead", run())
