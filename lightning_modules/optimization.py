"""Optimisers and schedules: the config gives partials, which are completed when training starts."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, Protocol, cast

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from medzoo.lightning_modules.loss_terms import LogsLossTerms
from medzoo.lightning_modules.step import StepSettings, fused, prepare

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
    training and in the search for the source of a NaN. `trainer.accumulate_grad_batches` and
    `trainer.gradient_clip_val` then mean what they mean with one optimiser.

    Args:
        optimizer: Builds the optimiser from the parameters.
        scheduler: Builds a learning-rate schedule from the optimiser; None for a constant rate. If its `total_steps`
            is null, the number of steps of the run is filled in.
        scheduler_interval: Whether the schedule counts epochs or steps.
        compile: Compile the networks when training starts (`torch.compile`, in place).
        gradient_checkpointing: Compute the activations of blocks again in the backward pass instead of keeping them.
        channels_last: Store the weights of convolutions with the channels last.
    """

    accumulate = 1
    """With several optimisers, batches for each step, times `trainer.accumulate_grad_batches`."""

    def __init__(
        self,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        *,
        compile: bool = False,
        gradient_checkpointing: bool = False,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        self._optimizer, self._scheduler, self._interval = optimizer, scheduler, scheduler_interval
        self._step = StepSettings(
            compile=compile, gradient_checkpointing=gradient_checkpointing, channels_last=channels_last
        )
        self._prepared = False
        self._from_trainer: dict[str, Any] = {}

    @property
    def networks(self) -> Iterable[nn.Module]:
        """The networks to which the settings of the step apply."""
        return [cast(nn.Module, self.net)]

    def configure_model(self) -> None:
        """Apply the settings of the step before training."""
        if self.trainer.training and not self._prepared:
            prepare(self.networks, self._step)
            self._prepared = True

    def configure_callbacks(self) -> list[L.Callback]:
        """With several optimisers, take over what Lightning's trainer then refuses to do."""
        names = ("accumulate_grad_batches", "gradient_clip_val")
        if not self.automatic_optimization and self.trainer.training:
            self._from_trainer = {name: getattr(self.trainer, name) for name in names}
            self.trainer.accumulate_grad_batches, self.trainer.gradient_clip_val = 1, None
        return []

    def on_fit_end(self) -> None:
        """Give it back."""
        for name, value in self._from_trainer.items():
            setattr(self.trainer, name, value)

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

    @property
    def accumulated(self) -> int:
        """Batches for each step of several optimisers."""
        return self.accumulate * int(self._from_trainer.get("accumulate_grad_batches", 1))

    @property
    def moves(self) -> bool:
        """Whether several optimisers step after this batch: the last of those accumulated, or of the epoch."""
        last = self.trainer.is_last_batch
        return last or (self.trainer.fit_loop.batch_idx + 1) % self.accumulated == 0

    def descend(self, part: int, loss: Tensor, *, at_once: bool = False) -> None:
        """Backward pass of a loss, and, after the last of the accumulated batches, a step of optimiser `part`.

        Does nothing if no steps are taken. Processes exchange gradients only in the backward pass before a step.
        Lightning counts only the steps of the first optimiser as training steps.

        Args:
            part: Index of the optimiser.
            loss: Loss of one batch.
            at_once: Step after this loss, whatever is accumulated elsewhere.
        """
        if not self.takes_steps:
            return
        optimizer, moves = self._of_part(part), at_once or self.moves
        unsynchronised = getattr(self.trainer.strategy, "block_backward_sync", nullcontext)
        with nullcontext() if moves else unsynchronised():
            self.manual_backward(loss if at_once else loss / self.accumulated)
        if moves:
            if clip := self._from_trainer.get("gradient_clip_val"):
                self.clip_gradients(optimizer.optimizer, clip, self.trainer.gradient_clip_algorithm or "norm")
            (optimizer if part == 0 else optimizer.optimizer).step()
            optimizer.zero_grad()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimiser and its schedule, in the form that Lightning expects."""
        optimizer = self.made(self._optimizer, [weight for weight in self.parameters() if weight.requires_grad])
        if self._scheduler is None:
            return {"optimizer": optimizer}
        scheduler = self._scheduler
        if getattr(scheduler, "keywords", {}).get("total_steps", 0) is None:
            scheduler = partial(scheduler, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler(optimizer), "interval": self._interval}}

    def made(self, optimizer: OptimizerPartial, weights: Iterable[nn.Parameter]) -> Optimizer:
        """Build an optimiser; on a GPU, torch's fused one.

        Fused optimisers undo the loss scaling of float16 themselves, so gradients cannot be clipped before.
        """
        weights = list(weights)
        clips = self.trainer.gradient_clip_val or self._from_trainer.get("gradient_clip_val")
        scales = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        if all(weight.is_cuda for weight in weights) and not (clips and scales):
            optimizer = fused(optimizer)
        return optimizer(params=weights)

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
