"""A training step of every system under Lightning, as the zoo runs it, and in a bare PyTorch loop.

Each stage of the five systems trains at the size of its laptop demo, on zeros of the shapes of its batches: under a
Lightning trainer with the callbacks of every step (`StepSeed`, `FiniteGuard`) and the CSV logger, and in a loop that
calls `training_step`, goes backward and steps the same optimisers, without logging. An epoch of each side is taken in
turn; medians of the epochs are compared, without the first, and both copies must end with equal weights. Schedules,
clipping and augmentation are left out on both sides, and precision is float32. At full size a step takes longer, and
what Lightning adds does not.
"""

import copy
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch.optim import Optimizer

from benchmarks.one_batch import module_and_batch
from benchmarks.tables.row import Row, print_rows
from benchmarks.training.in_turn import InTurn
from medzoo.callbacks import FiniteGuard, StepSeed
from medzoo.runtime.build import make_trainer
from medzoo.runtime.composing.compose import compose
from medzoo.runtime.composing.resolvers import register_resolvers
from medzoo.runtime.loggers import csv_logger
from medzoo.runtime.plan import make_plan
from medzoo.runtime.training.costs.estimate import HERE, Repeated

__all__ = ["run"]

GOAL = 1.05
SYSTEMS = {
    "hlhs_rvae_demo": None,
    "liver_fusion_demo": None,
    "hematoma_demo": ("fold_0", "synthesis", "original"),
    "medmnist_cvae_demo": None,
    "medmnist_contrastive_demo": None,
    "medmnist_sepvae_demo": None,
    "hemexp_demo": None,
}
"""Experiments, and the stages that differ."""


class Bare:
    """A copy of a module that is trained by a plain loop.

    Args:
        module: The module, before its training.
        batches: Of an epoch.
        seed: Sets the random numbers of a step, as for Lightning's; it is not timed.
    """

    def __init__(self, module: L.LightningModule, batches: Repeated, seed: StepSeed) -> None:
        self.module, self.batches, self.seed = copy.deepcopy(module).train(), batches, seed
        self.module.log = self.module.log_dict = lambda *_, **__: None
        self.module.learning, self.module.descend = self._learning, self._descend
        self.optimizers: list[Optimizer] = []

    def epoch(self, trainer: L.Trainer) -> float:
        """Train on all batches; returns the seconds."""
        self.module._trainer = place = _Place(trainer)
        if not self.optimizers:
            made = self.module.configure_optimizers()
            self.optimizers = [made["optimizer"]] if isinstance(made, dict) else [*_listed(made)]
        seconds = 0.0
        for index, batch in enumerate(self.batches):
            self.seed.on_train_batch_start(trainer, self.module, batch, index)
            began = time.perf_counter()
            loss = self.module.training_step(batch, index)
            if self.module.automatic_optimization:
                self._step(self.optimizers[0], loss)
            seconds += time.perf_counter() - began
            place.global_step += 1
        return seconds

    @contextmanager
    def _learning(self, part: int) -> Iterator[None]:
        others = [weight for each in self.optimizers if each is not self.optimizers[part] for weight in _weights(each)]
        before = [weight.requires_grad for weight in others]
        for weight in others:
            weight.requires_grad_(False)
        yield
        for weight, learns in zip(others, before, strict=True):
            weight.requires_grad_(learns)

    def _descend(self, part: int, loss: torch.Tensor, **_: object) -> None:
        self._step(self.optimizers[part], loss)

    @staticmethod
    def _step(optimizer: Optimizer, loss: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


class _Place:
    """What a bare loop needs of a trainer: all of it, but for the number of steps."""

    def __init__(self, trainer: L.Trainer) -> None:
        self._trainer, self.global_step = trainer, trainer.global_step

    def __getattr__(self, name: str) -> object:
        return getattr(self._trainer, name)


def run(*, experiments: Sequence[str] = tuple(SYSTEMS), steps: int = 10, epochs: int = 5) -> list[Row]:
    """Measure the stages of experiments.

    Args:
        experiments: Of `SYSTEMS`.
        steps: Steps of an epoch.
        epochs: Timed epochs of each side.

    Returns:
        A row for each stage, in milliseconds a step.
    """
    register_resolvers()
    rows = []
    for experiment in experiments:
        for name, config in make_plan(compose("train", [f"experiment={experiment}"])).stages.items():
            if name in (SYSTEMS[experiment] or [name]) and config["trainer"]["max_epochs"] != 0:
                rows.append(_compared(f"{experiment} {name}".strip(), config, steps, epochs))
    return rows


def _compared(title: str, config: dict[str, Any], steps: int, epochs: int) -> Row:
    """Train two copies of a module."""
    torch.manual_seed(0)
    module, batch = module_and_batch({**config, "lightning_module": {**config["lightning_module"], "scheduler": None}})
    seed, batches = StepSeed(seed=0), Repeated(batch, steps)
    bare = Bare(module, batches, seed)
    in_turn = InTurn(bare.epoch)
    settings = {**config["trainer"], **HERE, "precision": "32-true", "gradient_clip_val": None, "max_steps": -1}
    settings |= {"max_epochs": epochs + 2, "accumulate_grad_batches": 1}
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [in_turn, seed, FiniteGuard()]
        trainer = make_trainer(settings, Path(folder), callbacks=callbacks, logger=csv_logger(Path(folder)))
        trainer.fit(module, batches)
    weights = bare.module.state_dict()
    for name, ours in module.state_dict().items():
        torch.testing.assert_close(
            ours, weights[name], rtol=0, atol=1e-5, equal_nan=True, msg=f"{title}: {name} differs"
        )
    lightning, loop = (1000 * seconds / steps for seconds in in_turn.medians)
    remark = f"{lightning - loop:+.2f} ms; equal weights after {steps * (epochs + 2)} steps"
    return Row(title, "ms", lightning, loop, GOAL, higher_is_better=False, remark=remark)


def _listed(made: tuple | Sequence) -> Sequence[Optimizer]:
    """The optimisers that `configure_optimizers` returns, without schedules."""
    return made[0] if isinstance(made, tuple) else [one["optimizer"] if isinstance(one, dict) else one for one in made]


def _weights(optimizer: Optimizer) -> Iterator[torch.Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]


if __name__ == "__main__":
    print_rows("step_overhead", run())
