"""A progress bar in a terminal, one line for each epoch in a log file."""

import sys
import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar

__all__ = ["Progress"]


class Progress(RichProgressBar):
    """Rich progress bar in a terminal; in a log file, one line for each epoch with the newest numbers."""

    def __init__(self) -> None:
        super().__init__(leave=False)
        self._watched = sys.stdout.isatty()
        self._started = 0.0
        self._validated = False  # in this epoch
        if not self._watched:
            self.disable()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note the time."""
        self._started, self._validated = time.monotonic(), False
        super().on_train_epoch_start(trainer, pl_module)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note that this epoch was validated."""
        super().on_validation_end(trainer, pl_module)
        self._validated = True

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print a line where there is no bar."""
        super().on_train_epoch_end(trainer, pl_module)
        if self._watched or not trainer.is_global_zero:
            return
        numbers = "  ".join(f"{name} {float(value):.4f}" for name, value in self._numbers(trainer).items())
        took = f"{time.monotonic() - self._started:.1f} s"
        if (waited := trainer.callback_metrics.get("fit/data_wait")) is not None:
            took += f", {float(waited):.0%} waiting for data"
        print(f"{_position(trainer)}  {numbers}  ({took})", flush=True)

    def _get_train_description(self, current_epoch: int) -> str:
        return _position(self.trainer)

    def _numbers(self, trainer: L.Trainer) -> dict[str, Any]:
        shown = {k: v for k, v in trainer.callback_metrics.items() if k.startswith("val/") or k == "train/loss"}
        return {k: v for k, v in shown.items() if self._validated or k == "train/loss"}  # of this epoch


def _position(trainer: L.Trainer) -> str:
    """The epoch, or the step where no number of epochs was given."""
    if trainer.max_epochs in (None, -1):
        return f"step {trainer.global_step:,}" + (f"/{trainer.max_steps:,}" if trainer.max_steps > 0 else "")
    return f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
