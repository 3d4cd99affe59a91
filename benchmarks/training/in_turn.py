"""An epoch of a bare PyTorch loop before each epoch of Lightning, so that other work on the machine affects both."""

import statistics
import time
from collections.abc import Callable

import lightning as L

__all__ = ["InTurn"]


class InTurn(L.Callback):
    """Times both sides; give it first, so that an epoch of Lightning includes the other callbacks.

    A trainer runs two epochs more than are timed: the first warms up, and no epoch follows the last, which ends it.

    Args:
        bare: Trains a bare loop for an epoch and returns its seconds.
    """

    def __init__(self, bare: Callable[[L.Trainer], float]) -> None:
        self._bare, self._began = bare, 0.0
        self._seconds: tuple[list[float], list[float]] = [], []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End the epoch of Lightning that is timed, run a bare one, start the next."""
        self._seconds[0].append(time.perf_counter() - self._began)  # of the first call without meaning
        self._seconds[1].append(self._bare(trainer))
        self._began = time.perf_counter()

    @property
    def medians(self) -> tuple[float, float]:
        """Seconds of an epoch of Lightning, and of a bare one."""
        lightning, bare = self._seconds
        return statistics.median(lightning[2:]), statistics.median(bare[1:-1])
