"""Writes what a nomogram says of new cases, one CSV row for each."""

import logging
from typing import Any

import lightning as L
import numpy as np

from medzoo.callbacks.collect import data_of
from medzoo.callbacks.writers.csv import CsvWriter
from medzoo.callbacks.writers.scores import score_rows
from medzoo.evaluation.nomogram.reading import Reading, read_nomogram
from medzoo.evaluation.nomogram.study import NOMOGRAM
from medzoo.evaluation.scores.prevalence import at_prevalence

__all__ = ["NomogramWriter"]

log = logging.getLogger(__name__)


class NomogramWriter(CsvWriter):
    """Writes a row for each case: id, class by the threshold, probability and points, and the predictors they are of.

    The probability holds at the share of positive cases of the study, or at the prevalence that was asked for; the
    column `prevalence` says which. The class is that of the study's threshold either way. `imputed` names predictors
    that were filled, `warnings` values beyond those of the development cases. Of images without a table of cases only
    the score of each image is known, and written.
    """

    def rows(self, trainer: L.Trainer, module: Any, collected: dict[str, Any]) -> list[dict[str, Any]]:
        """One row for each case, or each image."""
        table = module.predicted_table(data_of(trainer), collected)
        if table is None:
            log.info("image scores alone: for probabilities, give a folder with cases.csv beside its images")
            return score_rows(collected)
        rows = case_rows(module, table)
        beyond = sum(bool(row["warnings"]) for row in rows)
        if beyond:
            log.warning("%d of %d cases lie beyond the development cases: see the column warnings", beyond, len(rows))
        return rows


def case_rows(module: Any, table: Any) -> list[dict[str, Any]]:
    """A row for each case of a table.

    Args:
        module: With a fitted `nomogram`, `case_probabilities` and `prevalence`.
        table: With `names` and `x`.
    """
    reading = read_nomogram(module.nomogram)
    study = module.case_probabilities(table)[NOMOGRAM]
    x = module.nomogram.filled(table.x).cpu().numpy()
    prob = at_prevalence(study, reading.share, module.prevalence)
    points, prevalence = reading.points(x), module.prevalence or reading.share
    return [
        {
            "id": name,
            "predicted": reading.record["classes"][int(study[row] >= reading.thresholds[NOMOGRAM])],
            f"p_{reading.outcome}": f"{prob[row]:.9g}",
            "prevalence": f"{prevalence:.6g}",
            "total_points": f"{points[row]:.6f}",
            **dict(zip(reading.model.names, (f"{value:.9g}" for value in x[row]), strict=True)),
            **_doubts(reading, table.x[row], x[row]),
        }
        for row, name in enumerate(table.names)
    ]


def _doubts(reading: Reading, given: np.ndarray, used: np.ndarray) -> dict[str, str]:
    """Columns `imputed` and `warnings` of a case."""
    filled = [name for name, value in zip(reading.model.names, given, strict=True) if np.isnan(value)]
    return {"imputed": "; ".join(filled), "warnings": "; ".join(reading.outside(used, given=given))}
