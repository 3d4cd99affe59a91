"""Writes image scores as one CSV row for each image."""

from collections.abc import Sequence

import lightning as L

from medzoo.callbacks.collect import Predictions
from medzoo.callbacks.output import Row
from medzoo.callbacks.writers.csv import CsvWriter

__all__ = ["ScoreWriter", "score_rows"]


class ScoreWriter(CsvWriter[L.LightningModule, object]):
    """Writes a CSV of predictions with the columns id and score."""

    def rows(self, module: L.LightningModule, data: object, collected: Predictions) -> Sequence[Row]:
        """One row for each image."""
        return score_rows(collected)


def score_rows(collected: Predictions) -> Sequence[Row]:
    """Rows of `id` and `score`."""
    return [
        {"id": name, "score": f"{score:.6f}"} for name, score in zip(collected["id"], collected["score"], strict=True)
    ]
