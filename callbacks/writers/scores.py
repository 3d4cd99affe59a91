"""Writes image scores as one CSV row for each image."""

from typing import Any

import lightning as L

from medzoo.callbacks.writers.csv import CsvWriter

__all__ = ["ScoreWriter", "score_rows"]


class ScoreWriter(CsvWriter):
    """Writes a CSV with columns id and score when something is predicted."""

    def rows(self, trainer: L.Trainer, module: Any, collected: dict[str, Any]) -> list[dict[str, Any]]:
        """One row for each image."""
        return score_rows(collected)


def score_rows(collected: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of `id` and `score`."""
    return [
        {"id": name, "score": f"{score:.6f}"} for name, score in zip(collected["id"], collected["score"], strict=True)
    ]
