"""Optimisers and schedules: the config gives partials, which are completed when training starts."""

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
    """An optimiser without its parameters."""

    def __call__(self, params: Iterable[nn.Parameter]) -> Optimizer:
        """Build the optimiser."""


SchedulerPartial = Callable[..., LRScheduler]


class OptimizedModule(LogsLossTerms):
    """Base of the modules that train; updates every parameter that requires a gradient.

    With several optimisers (`automatic_optimization` is false), `training_step` computes the loss of each part inside
    `learning(part)` and hands it to `descend`. Both do nothing while no step may be taken: in the rehearsal before
    training and in the search for the source of a NaN.

    Args:
        optimizer: Builds the optimiser from the parameters.
        scheduler: Builds a learning-rate schedule from the optimiser; None for a constant rate. If its `total_steps`
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
        """Lightning's strategy for several devices; with several optimisers, a pass leaves some parameters unused."""
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
        """Training steps so far; in the rehearsal a number beyond any warm-up, so that every loss term is tried."""
        return 2**62 if self._trainer is None else self.global_step

    def place(self, batch_idx: int) -> int:
        """Index of an evaluation batch among those of all ranks, which take turns."""
        return batch_idx if self._trainer is None else batch_idx * self.trainer.world_size + self.trainer.global_rank

    @contextmanager
    def learning(self, part: int) -> Iterator[None]:
        """Inside, only the parameters of optimiser `part` require a gradient, if steps are taken."""
        if not self.takes_steps:
            yield
            return
        optimizer = self._of_part(part)
        self.toggle_optimizer(optimizer)
        yield
        self.untoggle_optimizer(optimizer)

    def descend(self, part: int, loss: Tensor, *, accumulate: int = 1, moves: bool = True) -> None:
        """Backward pass of a loss, and a step of optimiser `part`, if steps are taken.

        Lightning counts only the steps of the first optimiser as training steps.

        Args:
            part: Index of the optimiser.
            loss: Loss of one batch.
            accumulate: Batches for each step.
            moves: Whether to step after this batch.
        """
        if not self.takes_steps:
            return
        optimizer = self._of_part(part)
        self.manual_backward(loss / accumulate)
        if moves:
            (optimizer if part == 0 else optimizer.optimizer).step()
            optimizer.zero_grad()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser and its schedule, in the form that Lightning expects."""
        optimizer = self._optimizer(params=[weight for weight in self.parameters() if weight.requires_grad])
        if self._scheduler is None:
            return {"optimizer": optimizer}
        scheduler = self._scheduler
        if getattr(scheduler, "keywords", {}).get("total_steps", 0) is None:
            scheduler = partial(scheduler, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler(optimizer), "interval": self._interval}}

    def step_schedules(self) -> None:
        """Step all schedules; with several optimisers Lightning leaves that to the module."""
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
