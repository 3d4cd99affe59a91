"""A logistic model as a nomogram: points for each predictor, their sum, and the probability of the sum.

The geometry is that of R's rms::nomogram (Harrell, Regression Modeling Strategies). Axis j runs over values v with
contributions b_j v; the widest spans 100 points, so that one unit of the linear predictor is sc = 100 / widest
points; points_j(v) = sc (b_j v - min b_j v). With I' = b_0 + the sum of the minima, the linear predictor is I' +
points / sc. This holds for every case, also for values beyond an axis, whose points then lie below 0 or above its
end.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, logit

from medzoo.evaluation.nomogram.axes import Axis, Categorical, Continuous
from medzoo.evaluation.nomogram.pretty import pretty
from medzoo.evaluation.regression.logistic import Linear

__all__ = ["PROBABILITIES", "Nomogram", "Score", "nomogram_of", "nomogram_within"]

PROBABILITIES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
Case = Mapping[str, Any]


class Score(NamedTuple):
    """The result for a case: total `points`, `linear_predictor` and `probability`.

    `outside` has a line for each value beyond the data of the fit, where the model extrapolates.
    """

    points: float
    linear_predictor: float
    probability: float
    outside: tuple[str, ...] = ()


class Nomogram:
    """A logistic model drawn as axes of points.

    Attributes:
        intercept: b_0 on the logit scale.
        axes: Of the predictors.
        points_per_unit: sc, points for one unit of the linear predictor.
        base: I', the linear predictor at 0 points.

    Args:
        intercept: b_0.
        axes: At least one, with different names.
        fitted: Smallest and largest linear predictor of the data, which the total axis then reaches to, as in R;
            without them it holds all that the axes can add up to.

    Raises:
        ValueError: If two axes have one name, or no predictor has an effect.
    """

    def __init__(self, intercept: float, axes: Sequence[Axis], fitted: tuple[float, float] | None = None) -> None:
        names = [axis.name for axis in axes]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"a nomogram needs axes with different names, not {names}")
        self.intercept, self.axes = float(intercept), tuple(axes)
        lows = [min(effect for _, effect in axis.ticks) for axis in axes]
        spans = [max(effect for _, effect in axis.ticks) - low for axis, low in zip(axes, lows, strict=True)]
        if max(spans) <= 0:
            raise ValueError(f"{', '.join(names)}: no predictor has an effect, so there is nothing to draw")
        self.points_per_unit = 100 / max(spans)
        self.base = self.intercept + sum(lows)
        self._lows = dict(zip(names, lows, strict=True))
        self._linear = pretty(*fitted) if fitted else pretty(self.base, self.base + sum(spans))
        reach = self._linear[-1] - self.base if fitted else sum(spans)
        self._reach = max(100.0, reach * self.points_per_unit)

    def points(self, case: Case) -> dict[str, float]:
        """Points of each predictor.

        Args:
            case: A value or level for each axis by name; others are ignored.

        Raises:
            ValueError: If a value is missing, or is not a number or a level.
        """
        missing = [axis.name for axis in self.axes if axis.name not in case]
        if missing:
            raise ValueError(f"the case has no {', '.join(missing)}")
        return {axis.name: self._scaled(axis, axis.contribution(case[axis.name])) for axis in self.axes}

    def score(self, case: Case) -> Score:
        """Total points of a case, and their linear predictor and probability.

        Warns of values beyond the data of the fit.
        """
        total = sum(self.points(case).values())
        linear = self.base + total / self.points_per_unit
        outside = self.outside(case)
        if outside:
            warnings.warn(f"beyond the development cases: {'; '.join(outside)}", stacklevel=2)
        return Score(total, linear, float(expit(linear)), outside)

    def outside(self, case: Case) -> tuple[str, ...]:
        """A line for each value of a case beyond the data of the fit."""
        return tuple(
            f"{axis.name} {case[axis.name]:.6g} is outside {axis.extent}"
            for axis in self.axes
            if not isinstance(case.get(axis.name, ""), str) and axis.outside(case[axis.name])
        )

    def probability(self, points: float, shift: float = 0.0) -> float:
        """Probability of total points; `shift` corrects the linear predictor for a prevalence (`scores.prevalence`)."""
        return float(expit(self.base + points / self.points_per_unit + shift))

    def ticks(self, axis: Axis) -> list[tuple[str, float]]:
        """Labels and points of an axis, those of equal neighbours joined by a comma."""
        joined: list[tuple[str, float]] = []
        for label, effect in axis.ticks:
            points = self._scaled(axis, effect)
            if joined and abs(joined[-1][1] - points) < 1e-9:
                joined[-1] = (f"{joined[-1][0]}, {label}", points)
            else:
                joined.append((label, points))
        if len(joined) == 1 and isinstance(axis, Continuous):
            joined = [(f"{axis.ticks[0][0]} to {axis.ticks[-1][0]}", joined[0][1])]
        return joined

    def total_ticks(self) -> list[float]:
        """Ticks of the axis of total points, from 0."""
        return pretty(0.0, self._reach)

    def linear_ticks(self) -> list[tuple[float, float]]:
        """Linear predictors and their total points, within the total axis."""
        return self._within((value, value) for value in self._linear)

    def probability_ticks(self, probabilities: Iterable[float] = PROBABILITIES) -> list[tuple[float, float]]:
        """Probabilities and their total points; those beyond the total axis are omitted."""
        return self._within((value, float(logit(value))) for value in probabilities)

    def table(self) -> list[dict[str, Any]]:
        """Rows `axis`, `value`, `points` of all ticks, then of `Total points` for each `probability`."""
        rows: list[dict[str, Any]] = []
        for axis in self.axes:
            rows += [
                {"axis": axis.name, "value": label, "points": self._scaled(axis, effect)}
                for label, effect in axis.ticks
            ]
        rows += [
            {"axis": "Probability", "value": f"{value:g}", "points": points}
            for value, points in self.probability_ticks()
        ]
        return rows

    def _scaled(self, axis: Axis, effect: float) -> float:
        return (effect - self._lows[axis.name]) * self.points_per_unit

    def _within(self, pairs: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        end = self.total_ticks()[-1]
        placed = [(value, (linear - self.base) * self.points_per_unit) for value, linear in pairs]
        return [(value, points) for value, points in placed if -1e-9 <= points <= end + 1e-9]


def nomogram_of(
    fit: Linear,
    x: np.ndarray,
    *,
    units: Mapping[str, str] | None = None,
    levels: Mapping[str, Sequence[str]] | None = None,
) -> Nomogram:
    """The nomogram of a fitted model, in the units of the data.

    Axes run from the smallest to the largest value; R's datadist by default stops short of the outermost ones. A
    predictor that is 0 or 1 in every case has these two levels and no values between them.

    Args:
        fit: From `evaluation.regression.logistic.fit_logistic` or `evaluation.regression.imputation.pool`.
        x: (N, K) the cases it was fitted to, NaN where missing.
        units: By predictor.
        levels: Of predictors that are 0 or 1, the names of the two.

    Returns:
        The nomogram.

    Raises:
        ValueError: If units or levels name no predictor, or the data are not those of the fit.
    """
    units, levels, x = units or {}, levels or {}, np.asarray(x, float)
    unknown = sorted({*units, *levels} - set(fit.names))
    if unknown or x.shape[1:] != (len(fit.names),):
        raise ValueError(f"{unknown or x.shape}: the predictors are {', '.join(fit.names)}")
    linear = fit.linear_predictor(x)
    return nomogram_within(
        fit,
        [(float(np.nanmin(column)), float(np.nanmax(column))) for column in x.T],
        (float(np.nanmin(linear)), float(np.nanmax(linear))),
        units=units,
        levels={**dict.fromkeys(_flags(fit.names, x), ("0", "1")), **levels},
    )


def nomogram_within(
    fit: Linear,
    ranges: Sequence[tuple[float, float]],
    fitted: tuple[float, float],
    *,
    units: Mapping[str, str],
    levels: Mapping[str, Sequence[str]],
) -> Nomogram:
    """The nomogram of a model without its cases, as `nomogram_of` made it.

    Args:
        fit: The model.
        ranges: Smallest and largest value of each of K predictors.
        fitted: Smallest and largest linear predictor.
        units: By predictor.
        levels: Of predictors that are 0 or 1, the names of the two.
    """
    axes: list[Axis] = []
    for name, coefficient, (low, high) in zip(fit.names, fit.coefficients, ranges, strict=True):
        if name in levels:
            axes.append(Categorical(name, dict(zip(levels[name], (0.0, float(coefficient)), strict=True))))
        else:
            axes.append(Continuous(name, float(coefficient), low, high, units.get(name, "")))
    return Nomogram(fit.intercept, axes, fitted)


def _flags(names: Sequence[str], x: np.ndarray) -> list[str]:
    """Predictors that are 0 or 1 in all cases with a known value."""
    known = [column[np.isfinite(column)] for column in x.T]
    return [name for name, column in zip(names, known, strict=True) if np.isin(column, (0, 1)).all()]
