"""What training costs: seconds of a step, and memory at its peak."""

import statistics
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch

__all__ = ["Cost"]


class Cost(L.Callback):
    """Measures a training from its second batch on; the first allocates, compiles and fills caches.

    On a GPU memory is what PyTorch allocated there; on Linux the resident size of the process, with Python, libraries
    and data; elsewhere it is not measured.
    """

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._began: float | None = None
        self._counting = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget the peak of whatever ran before."""
        self._counting = _forget_peak()

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *batch: Any) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *batch: Any) -> None:
        """Stop it; on a GPU the queue of the step before is part of the time, so the median is right."""
        if self._began is not None:
            self._seconds.append(time.perf_counter() - self._began)

    @property
    def metrics(self) -> dict[str, float]:
        """`fit/seconds_per_step`, the median without loading, and `fit/peak_memory_gb`, where measured."""
        measured = {}
        if len(self._seconds) > 1:
            measured["fit/seconds_per_step"] = statistics.median(self._seconds[1:])
        if self._counting:
            measured["fit/peak_memory_gb"] = _peak() / 2**30
        return measured


def _forget_peak() -> bool:
    """Whether the peak from here on can be read later."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")  # man 5 proc: resets VmHWM
    except OSError:
        return False
    return True


def _peak() -> float:
    """Bytes."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * float(next(line for line in lines if line.startswith("VmHWM")).split()[1])
