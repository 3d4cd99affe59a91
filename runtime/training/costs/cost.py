"""The cost of training: seconds per step, the share of time spent waiting for data, and peak memory."""

import statistics
import time

import lightning as L
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from medzoo.runtime.contracts import TellsWaiting
from medzoo.runtime.training.costs.allocations import Allocations

__all__ = ["Cost", "held_before_step"]

_COUNTED = 1  # index of the batch whose tensors are counted; the optimiser has no state before it


class Cost(L.Callback):
    """Measures training steps. The first one, which fills caches, and the counted one take longer.

    At the end of every epoch it logs `fit/data_wait`: of the time of waiting for batches and of steps, the share of
    waiting. Only clocks of this process are read. A step on a GPU returns before it is done, but this process cannot
    get further ahead than the queue of the GPU is long, so the share holds over an epoch.

    Memory is the peak of what PyTorch allocated on the GPU, or on a CPU the peak of what the tensors of one step held:
    weights, gradients, the state of the optimiser, the batch and activations. Python and libraries come on top.
    """

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._began = 0.0
        self._counter: Allocations | None = None
        self._peak_gb: float | None = None
        self._before = (0.0, 0.0)  # seconds of waiting and of steps, at the end of the last epoch

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Reset the peak."""
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Start the clock; count tensors in one step."""
        if batch_idx == _COUNTED and self._peak_gb is None and pl_module.device.type == "cpu" and _is_eager(pl_module):
            self._counter = Allocations()
            self._counter.count(*held_before_step(trainer, pl_module, batch))
            self._counter.__enter__()
        self._began = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *batch: object) -> None:
        """Stop the clock and the count."""
        self._seconds.append(time.perf_counter() - self._began)
        if self._counter:
            self._counter.__exit__(None, None, None)
            self._peak_gb, self._counter = self._counter.peak / 1024, None

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the share of waiting in this epoch."""
        batches = trainer.train_dataloader
        if isinstance(batches, TellsWaiting):
            before, self._before = self._before, (batches.waited, sum(self._seconds))
            pl_module.log(
                "fit/data_wait", _share(*(now - then for now, then in zip(self._before, before, strict=True)))
            )

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Stop counting."""
        if self._counter:
            self._counter.__exit__(None, None, None)
            self._counter = None

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Read the GPU's peak."""
        if pl_module.device.type == "cuda":
            self._peak_gb = torch.cuda.max_memory_allocated(pl_module.device) / 2**30

    @property
    def metrics(self) -> dict[str, float]:
        """`fit/seconds_per_step`, the median without data loading, `fit/data_wait`, and `fit/peak_memory_gb`."""
        measured = {"fit/seconds_per_step": statistics.median(self._seconds[2:])} if len(self._seconds) > 2 else {}
        measured |= {"fit/data_wait": _share(*self._before)} if any(self._before) else {}
        return measured | ({} if self._peak_gb is None else {"fit/peak_memory_gb": self._peak_gb})


def _share(waited: float, worked: float) -> float:
    return waited / (waited + worked) if waited + worked else 0.0


def held_before_step(trainer: L.Trainer, module: L.LightningModule, batch: object) -> list[Tensor]:
    """Weights, buffers, gradients of the last step, which the next one frees, optimiser states, and the batch."""
    gradients = [weight.grad for weight in module.parameters()]
    leaves = tree_leaves([gradients, batch, [optimizer.state_dict() for optimizer in trainer.optimizers]])
    held = [*module.parameters(), *module.buffers(), *leaves]
    return [tensor for tensor in held if isinstance(tensor, Tensor)]


def _is_eager(module: L.LightningModule) -> bool:
    """Whether no part is compiled: operations of compiled networks cannot be counted."""
    return not any(part._compiled_call_impl for part in module.modules())
