"""Predictions of whole cases, one file or folder for each: what both writers of such share."""

import logging
from pathlib import Path

import lightning as L

__all__ = ["CaseWriter"]

log = logging.getLogger(__name__)


class CaseWriter(L.Callback):
    """Leaves out what is there already, so an interrupted prediction goes on where it stopped.

    Args:
        output: The folder; `predictions` by default.
    """

    pending: str
    """Attribute of the datamodule that holds, by name, what is to be predicted."""

    def __init__(self, output: str | Path | None = None) -> None:
        self.output = Path(output or "predictions")
        self.written: Path | None = None

    def place(self, name: str) -> Path:
        """Where a case is written."""
        raise NotImplementedError

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Leave out cases that were finished before."""
        if stage != "predict":
            return
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        done = [name for name in getattr(datamodule, self.pending) if self.place(name).exists()]
        done = trainer.strategy.broadcast(done)  # ranks share out the same cases, whoever writes the first
        if done:
            log.info("already in %s, left as they are: %s", self.output, ", ".join(done))
        datamodule.leave_out(done)
        self.output.mkdir(parents=True, exist_ok=True)
        self.written = self.output
