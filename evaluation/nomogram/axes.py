"""Axes of a nomogram: the values of a predictor and their contributions to the linear predictor."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medzoo.evaluation.nomogram.pretty import pretty, written

__all__ = ["Axis", "Categorical", "Continuous", "Value"]

Value = str | float
"""A value of a predictor: a number, or the name of a level."""


@dataclass(frozen=True)
class Continuous:
    """The axis of a measured predictor.

    Attributes:
        name: Of the predictor in a case.
        coefficient: Log odds ratio of one unit more.
        low: Smallest value of the data.
        high: Largest value.
        unit: Written after the name.

    Raises:
        ValueError: If the values are not finite or in the wrong order.
    """

    name: str
    coefficient: float
    low: float
    high: float
    unit: str = ""

    def __post_init__(self) -> None:
        if not np.isfinite([self.coefficient, self.low, self.high]).all() or self.low >= self.high:
            raise ValueError(f"{self.name}: no axis from {self.low} to {self.high}, coefficient {self.coefficient}")

    @cached_property
    def ticks(self) -> list[tuple[str, float]]:
        """Labels and contributions to the linear predictor, by R's `pretty`."""
        values = pretty(self.low, self.high)
        return [(label, self.coefficient * value) for label, value in zip(written(values), values, strict=True)]

    def contribution(self, value: Value) -> float:
        """Contribution of a number to the linear predictor; ValueError if it is not a number."""
        number = _number(value)
        if not np.isfinite(number):
            raise ValueError(f"{self.name}: {value!r} is not a number")
        return self.coefficient * number

    def outside(self, value: Value) -> bool:
        """Whether a number lies beyond the values that the model was fitted to."""
        return not self.low <= float(value) <= self.high

    @property
    def extent(self) -> str:
        """The values in words."""
        return f"{self.low:.6g} to {self.high:.6g}"


@dataclass(frozen=True)
class Categorical:
    """The axis of a predictor with named levels.

    A case gives a level by its name, or by its place in `effects`: 0 is the first, 1 the second.

    Attributes:
        name: Of the predictor in a case.
        effects: Log odds ratio of each level against the one that the intercept is for, which has 0.

    Raises:
        ValueError: If there are fewer than two levels, or an effect is not finite.
    """

    name: str
    effects: Mapping[str, float]

    def __post_init__(self) -> None:
        if len(self.effects) < 2 or not np.isfinite(list(self.effects.values())).all():
            raise ValueError(f"{self.name}: an axis needs two levels with finite effects, not {dict(self.effects)}")

    @cached_property
    def ticks(self) -> list[tuple[str, float]]:
        """Levels and contributions to the linear predictor."""
        return [(level, float(effect)) for level, effect in self.effects.items()]

    def contribution(self, value: Value) -> float:
        """Contribution of a level to the linear predictor; ValueError if it is not a level."""
        if self.outside(value):
            raise ValueError(f"{self.name}: {value!r} is not one of {', '.join(self.effects)}")
        if isinstance(value, str) and value in self.effects:
            return float(self.effects[value])
        return float(list(self.effects.values())[int(_number(value))])

    def outside(self, value: Value) -> bool:
        """Whether a value is not a level."""
        if isinstance(value, str) and value in self.effects:
            return False
        return isinstance(value, str) or _number(value) not in range(len(self.effects))

    @property
    def extent(self) -> str:
        """The values in words."""
        return " or ".join(self.effects)


def _number(value: Value) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


Axis = Continuous | Categorical
