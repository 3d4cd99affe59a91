"""A fitted nomogram as tests, reports and predictions read it; they change nothing in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from medzoo.evaluation.nomogram.scale import Nomogram, nomogram_within
from medzoo.evaluation.regression.logistic import Linear

__all__ = ["FittedNomogram", "Reading", "read_nomogram"]


class FittedNomogram(Protocol):
    """What is read from `models.fitted.NomogramPart`."""

    record: Mapping[str, Any]
    numbers: Mapping[str, np.ndarray]
    thresholds: dict[str, float]


@dataclass(frozen=True)
class Reading:
    """A nomogram as its checkpoint keeps it.

    Attributes:
        model: The equation.
        nomogram: The same as axes, which reach over the development cases.
        share: Share of positive cases among these.
        thresholds: By model, the probability from which a case is called positive.
        record: Names, tables and notes of the development.
    """

    model: Linear
    nomogram: Nomogram
    share: float
    thresholds: dict[str, float]
    record: Mapping[str, Any]

    @property
    def outcome(self) -> str:
        """Name of the positive class."""
        return str(self.record["classes"][1])

    @property
    def titles(self) -> Mapping[str, str]:
        """Titles of predictors that differ from their names."""
        return self.record["titles"]

    @property
    def share_told(self) -> str:
        """The share of positive cases that probabilities hold for, in words."""
        return f"at the study's share of {self.outcome} ({self.share:.0%})"

    def points(self, x: np.ndarray) -> np.ndarray:
        """Total points (N,) of predictors (N, K) without gaps."""
        return (self.model.linear_predictor(x) - self.nomogram.base) * self.nomogram.points_per_unit

    def outside(self, values: np.ndarray, given: np.ndarray | None = None) -> tuple[str, ...]:
        """A line for each value (K,) beyond the development cases; those that are NaN in `given` were filled."""
        known = np.isfinite(values if given is None else given)
        named = dict(zip(self.model.names, values.tolist(), strict=True))
        wanted = [name for name, there in zip(self.model.names, known, strict=True) if there]
        return self.nomogram.outside({name: named[name] for name in wanted})


def read_nomogram(keeper: FittedNomogram) -> Reading:
    """Read what `models.fitted.NomogramPart` keeps.

    Raises:
        ValueError: If it has not been fitted.
    """
    record, numbers = keeper.record, keeper.numbers
    model = Linear(tuple(record["names"]), float(numbers["intercept"]), numbers["coefficients"])
    ranges = list(zip(numbers["low"].tolist(), numbers["high"].tolist(), strict=True))
    low, high = numbers["linear"].tolist()
    nomogram = nomogram_within(model, ranges, (low, high), units=record["units"], levels=record["levels"])
    return Reading(model, nomogram, float(numbers["share"]), keeper.thresholds, record)
