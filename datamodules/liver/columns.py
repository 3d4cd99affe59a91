"""Clinical columns: which there are, what their cells may say, and which must never be predictors."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from datamodules.io import is_missing, number, plain
from datamodules.outcomes import check_predictors, is_leak

__all__ = ["Columns", "check_predictors", "is_leak"]


@dataclass(frozen=True)
class Columns:
    """Clinical predictors in order.

    Attributes:
        allowed: By column, the lowest and highest value, or a number for each word.
        logarithm: Columns of which log10(x + 1) is taken, since they spread over decades.
        known_before: Columns that are known before the outcome, although they look like it.

    Raises:
        ValueError: If a range is none, a column of `logarithm` is not there or may be negative, or one is an outcome.
    """

    allowed: Mapping[str, Sequence[float] | Mapping[str, float]]
    logarithm: Sequence[str] = ()
    known_before: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check what can be checked without data."""
        check_predictors(self.allowed, known=self.known_before)
        for name, allowed in self.allowed.items():
            if not isinstance(allowed, Mapping) and (len(allowed) != 2 or allowed[0] >= allowed[1]):
                raise ValueError(f"clinical.{name}={list(allowed)}: give [lowest, highest], or {{word: number, ...}}")
        for name in self.logarithm:
            limits = self.allowed.get(name)
            if limits is None or isinstance(limits, Mapping) or limits[0] < 0:
                raise ValueError(f"logarithm: {name} must be one of the clinical columns, with a range from 0 or above")

    @property
    def names(self) -> tuple[str, ...]:
        """In order."""
        return tuple(self.allowed)

    def parse(self, row: Mapping[str, str], where: str) -> np.ndarray:
        """Values (K,) of a row of text, NaN where missing, logarithms taken.

        Args:
            row: Cells by column.
            where: File and patient, for messages.

        Raises:
            ValueError: If a column is missing, or a cell says something else than it may.
        """
        absent = [name for name in self.names if name not in row]
        if absent:
            raise ValueError(f"{where}: no column {', '.join(absent)}; add it, or leave it out of datamodule.clinical")
        return np.array([self._value(name, row, where) for name in self.names], float)

    def _value(self, name: str, row: Mapping[str, str], where: str) -> float:
        allowed, text = self.allowed[name], row[name] or ""
        if isinstance(allowed, Mapping):
            words = {_word(key): value for key, value in allowed.items()}
            if _word(text) in words:
                return float(words[_word(text)])
            if is_missing(text):
                return math.nan
            raise ValueError(f"{where}: {name} is '{text}'; expected one of {', '.join(map(str, allowed))}")
        value = number(row, name, allowed[0], allowed[1], where=where)
        return math.log10(value + 1) if name in self.logarithm else value


def _word(text: object) -> str:
    """So that `Stage_ 0-2` and `stage_0-2` are one, and `1` and `1.0`."""
    return plain(re.sub(r"\s+", "", str(text))).casefold()
