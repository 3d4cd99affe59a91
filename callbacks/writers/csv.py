"""The base of writers of one CSV of predictions."""

import logging
from collections.abc import Sequence
from pathlib import Path

import lightning as L

from medzoo.callbacks.collect import Collect, Data, Module, Predictions
from medzoo.callbacks.output import Row, write_csv

__all__ = ["CsvWriter", "replace_csv"]

log = logging.getLogger(__name__)


class CsvWriter(Collect[Module, Data]):
    """Writes the rows of a prediction; an older file is replaced, and the log says so.

    Args:
        output: The file; `predictions.csv` by default.
    """

    stages = ("predict",)

    def __init__(self, output: str | Path | None = None) -> None:
        super().__init__()
        self.output = Path(output or "predictions.csv")
        self.written: Path | None = None

    def rows(self, module: Module, data: Data, collected: Predictions) -> Sequence[Row]:
        """Rows of equal keys, one for each prediction."""
        raise NotImplementedError

    def finish(self, trainer: L.Trainer, module: Module, data: Data, stage: str) -> None:
        """Write the file on the first rank."""
        collected = self.predictions()
        if trainer.is_global_zero:
            replace_csv(self.output, self.rows(module, data, collected))
            self.written = self.output


def replace_csv(file: Path, rows: Sequence[Row]) -> None:
    """Write predictions, with a warning where an older file is replaced."""
    if file.exists():
        log.warning("%s: older predictions are overwritten", file)
    write_csv(file, rows)
