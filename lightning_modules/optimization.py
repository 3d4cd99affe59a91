"""Optimiser and schedule of a module: given as partials by the config, completed when training starts."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, Protocol

import lightning as L
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

__all__ = ["OptimizedModule", "OptimizerPartial", "SchedulerPartial"]


class OptimizerPartial(Protocol):
    """An optimiser that lacks only its parameters."""

    def __call__(self, params: Iterable[nn.Parameter]) -> Optimizer:
        """Build the optimiser."""


SchedulerPartial = Callable[[Optimizer], LRScheduler]


class OptimizedModule(L.LightningModule):
    """Trains every parameter that asks for a gradient.

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

    def configure_optimizers(self) -> Any:
        """Optimiser and schedule, as Lightning wants them."""
        optimizer = self._optimizer(params=[weight for weight in self.parameters() if weight.requires_grad])
        if self._scheduler is None:
            return {"optimizer": optimizer}
        scheduler: Any = self._scheduler
        if getattr(scheduler, "keywords", {}).get("total_steps", 0) is None:
            scheduler = partial(scheduler, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler(optimizer), "interval": self._interval}}
