"""Optimiser and schedule of a module: given as partials by the config, completed when training starts."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, Protocol

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from medzoo.lightning_modules.loss_terms import LogsLossTerms

__all__ = ["OptimizedModule", "OptimizerPartial", "SchedulerPartial"]


class OptimizerPartial(Protocol):
    """An optimiser that lacks only its parameters."""

    def __call__(self, params: Iterable[nn.Parameter]) -> Optimizer:
        """Build the optimiser."""


SchedulerPartial = Callable[..., LRScheduler]


class OptimizedModule(LogsLossTerms):
    """Trains every parameter that asks for a gradient.

    With several optimisers (`automatic_optimization` is false), `training_step` computes the loss of each part inside
    `learning(part)` and hands it to `descend`. Both do nothing where no step is wanted: in the rehearsal before
    training and in a look for the source of a NaN.

    Args:
        optimizer: Builds the optimiser from the parameters.
        scheduler: Builds a learning-rate schedule from the optimiser; none for a constant rate. Where its `total_steps`
            is null, the number of steps of the run is filled in.
        scheduler_interval: Whether the schedule counts epochs or steps.
    """

    def __init__(
        self,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
    ) -> None:
        super().__init__()
        self._optimizer, self._scheduler, self._interval = optimizer, scheduler, scheduler_interval

    @property
    def ddp_strategy(self) -> str:
        """Strategy of Lightning that training on several devices needs; several optimisers leave out parameters."""
        return "ddp" if self.automatic_optimization else "ddp_find_unused_parameters_true"

    @property
    def datamodule(self) -> Any:
        """The datamodule of the run, of which each module asks what it documents."""
        return self.trainer.datamodule  # type: ignore[attr-defined]

    @property
    def takes_steps(self) -> bool:
        """Whether a training step may move weights."""
        return self._trainer is not None and torch.is_grad_enabled()

    @property
    def reached_step(self) -> int:
        """Steps of training so far; in the rehearsal beyond any warm-up, so that every term of a loss is tried."""
        return 2**62 if self._trainer is None else self.global_step

    def place(self, batch_idx: int) -> int:
        """Number of an evaluation batch among those of all ranks, which are dealt out in turn."""
        return batch_idx if self._trainer is None else batch_idx * self.trainer.world_size + self.trainer.global_rank

    @contextmanager
    def learning(self, part: int) -> Iterator[None]:
        """Only parameters of optimiser number `part` ask for a gradient, where steps are taken."""
        if not self.takes_steps:
            yield
            return
        optimizer = self._of_part(part)
        self.toggle_optimizer(optimizer)
        yield
        self.untoggle_optimizer(optimizer)

    def descend(self, part: int, loss: Tensor, *, accumulate: int = 1, moves: bool = True) -> None:
        """Backward pass of a loss, and a step of optimiser number `part`, where steps are taken.

        Lightning counts the steps of the first optimiser alone as steps of training.

        Args:
            part: Number of the optimiser.
            loss: Of one batch.
            accumulate: Batches that make one step.
            moves: Whether this is the last of them.
        """
        if not self.takes_steps:
            return
        optimizer = self._of_part(part)
        self.manual_backward(loss / accumulate)
        if moves:
            (optimizer if part == 0 else optimizer.optimizer).step()
            optimizer.zero_grad()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Optimiser and schedule, as Lightning wants them."""
        optimizer = self._optimizer(params=[weight for weight in self.parameters() if weight.requires_grad])
        if self._scheduler is None:
            return {"optimizer": optimizer}
        scheduler = self._scheduler
        if getattr(scheduler, "keywords", {}).get("total_steps", 0) is None:
            scheduler = partial(scheduler, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler(optimizer), "interval": self._interval}}

    def step_schedules(self) -> None:
        """Step all schedules, where Lightning leaves that to the module: with several optimisers."""
        schedules = self.lr_schedulers()
        for schedule in schedules if isinstance(schedules, list) else [schedules]:
            if schedule is not None:
                assert not isinstance(schedule, ReduceLROnPlateau), "a schedule that waits for a metric"
                schedule.step()

    def _of_part(self, part: int) -> LightningOptimizer:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        optimizer = optimizers[part]
        assert isinstance(optimizer, LightningOptimizer)
        return optimizer
