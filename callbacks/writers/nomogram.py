"""Writes the predictions of a nomogram for new cases, one CSV row for each."""

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from medzoo.callbacks.collect import Predictions
from medzoo.callbacks.output import Row
from medzoo.callbacks.writers.csv import CsvWriter
from medzoo.callbacks.writers.scores import score_rows
from medzoo.evaluation.nomogram.reading import FittedNomogram, Reading, read_nomogram
from medzoo.evaluation.nomogram.study import NOMOGRAM
from medzoo.evaluation.scores.prevalence import at_prevalence

__all__ = ["NomogramWriter"]

log = logging.getLogger(__name__)


class Cases(Protocol):
    """N cases: their names, and K predictors `x` (N, K), NaN where missing."""

    names: Sequence[str]
    x: np.ndarray


class Nomogram(FittedNomogram, Protocol):
    """A fitted nomogram that fills gaps."""

    def filled(self, x: np.ndarray) -> Tensor:
        """Predictors (N, K) without gaps."""


class Module(Protocol):
    """Members of the module that are used."""

    nomogram: Nomogram
    prevalence: float | None

    def case_probabilities(self, table: Cases) -> dict[str, np.ndarray]:
        """(N,) by model."""

    def predicted_table(self, datamodule: object, collected: Predictions) -> Cases | None:
        """The cases to predict; none of images without a table."""


class NomogramWriter(CsvWriter[Module, object]):
    """Writes a row for each case: id, class by the threshold, probability, points, and the values of the predictors.

    The probability holds at the share of positive cases of the study, or at the prevalence that was asked for; the
    column `prevalence` says which. The class is that of the study's threshold either way. `imputed` names predictors
    that were filled, `warnings` values beyond those of the development cases. For images without a table of cases, the
    score of each image is written.
    """

    def rows(self, module: Module, data: object, collected: Predictions) -> Sequence[Row]:
        """One row for each case, or each image."""
        table = module.predicted_table(data, collected)
        if table is None:
            log.info("image scores alone: for probabilities, give a folder with cases.csv beside its images")
            return score_rows(collected)
        rows = case_rows(module, table)
        beyond = sum(bool(row["warnings"]) for row in rows)
        if beyond:
            log.warning("%d of %d cases lie beyond the development cases: see the column warnings", beyond, len(rows))
        return rows


def case_rows(module: Module, table: Cases) -> Sequence[Row]:
    """A row for each case of a table."""
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
