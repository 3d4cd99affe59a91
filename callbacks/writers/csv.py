"""A CSV of predictions: where it goes, and how it is written."""

import logging
from pathlib import Path
from typing import Any

import lightning as L

from medzoo.callbacks.collect import CollectPredictions
from medzoo.callbacks.output import write_csv

__all__ = ["CsvWriter", "replace_csv"]

log = logging.getLogger(__name__)


class CsvWriter(CollectPredictions):
    """Writes the rows of a prediction; what stood there is replaced, and the log says so.

    Args:
        output: The file; `predictions.csv` by default.
    """

    def __init__(self, output: str | Path | None = None) -> None:
        super().__init__()
        self.output = Path(output or "predictions.csv")
        self.written: Path | None = None

    def rows(self, trainer: L.Trainer, module: Any, collected: dict[str, Any]) -> list[dict[str, Any]]:
        """What is written, rows of equal keys."""
        raise NotImplementedError

    def finish(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str, collected: dict[str, Any]) -> None:
        """Write the file on the first rank."""
        if stage == "predict" and trainer.is_global_zero:
            replace_csv(self.output, self.rows(trainer, pl_module, collected))
            self.written = self.output


def replace_csv(file: Path, rows: list[dict[str, Any]]) -> None:
    """Write predictions, and tell where others stood."""
    if file.exists():
        log.warning("%s: the predictions that stood there are replaced", file)
    write_csv(file, rows)
