"""CPU time of training alone, without imports, reading of the data and the test."""

import time
from pathlib import Path

import lightning as L

__all__ = ["Clock"]


class Clock(L.Callback):
    """Writes the CPU seconds between the first and the last step of this process to a file.

    Args:
        file: To write to.
    """

    def __init__(self, file: str) -> None:
        self.file, self._began = Path(file), 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._began = time.process_time()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop it."""
        self.file.write_text(f"{time.process_time() - self._began}")
