"""Writes image scores as one CSV row for each image."""

import logging
from pathlib import Path
from typing import Any

import lightning as L

from callbacks.collect import CollectPredictions
from callbacks.prediction_writer import write_csv

__all__ = ["ScoreWriter"]

log = logging.getLogger(__name__)


class ScoreWriter(CollectPredictions):
    """Writes a CSV with columns id and score when something is predicted.

    Args:
        output: The file; `predictions.csv` by default.
    """

    def __init__(self, output: str | Path | None = None) -> None:
        super().__init__()
        self.written: Path | None = None
        self.output = Path(output or "predictions.csv")

    def finish(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str, collected: dict[str, Any]) -> None:
        """Write the file on the first rank."""
        if stage == "predict" and trainer.is_global_zero:
            self.written = self.output
            if self.written.exists():
                log.warning("%s: the predictions that stood there are replaced", self.written)
            pairs = zip(collected["id"], collected["score"], strict=True)
            write_csv(self.written, [{"id": name, "score": f"{score:.6f}"} for name, score in pairs])
