"""Clinical columns: their allowed values, and matching them to a model."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from medzoo.datamodules.io import is_missing, number, plain
from medzoo.datamodules.seen import matched

__all__ = ["Columns"]


@dataclass(frozen=True)
class Columns:
    """Clinical predictors in order.

    Attributes:
        allowed: By column, the lowest and highest value, or a number for each word.
        logarithm: Columns transformed by log10(x + 1), since they span decades.
        known_before: Columns that are known before the outcome although they look like it.

    Raises:
        ValueError: If a range is invalid, or a column of `logarithm` is missing or may be negative.
    """

    allowed: Mapping[str, Sequence[float] | Mapping[str, float]]
    logarithm: Sequence[str] = ()
    known_before: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, allowed in self.allowed.items():
            if not isinstance(allowed, Mapping) and (len(allowed) != 2 or allowed[0] >= allowed[1]):
                raise ValueError(f"clinical.{name}={list(allowed)}: give [lowest, highest], or {{word: number, ...}}")
        for name in self.logarithm:
            limits = self.allowed.get(name)
            if limits is None or isinstance(limits, Mapping) or limits[0] < 0:
                raise ValueError(f"logarithm: {name} must be one of the clinical columns, with a range from 0 or above")

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(self.allowed)

    def parse(self, row: Mapping[str, str], where: str) -> np.ndarray:
        """Values (K,) of the cells of a patient, NaN where missing, logarithms taken; `where` is for messages.

        Raises:
            ValueError: If a column is missing, or a cell is invalid.
        """
        absent = [name for name in self.names if name not in row]
        if absent:
            raise ValueError(f"{where}: no column {', '.join(absent)}; add it, or leave it out of datamodule.clinical")
        return np.array([self._value(name, row, where) for name in self.names], float)

    def _value(self, name: str, row: Mapping[str, str], where: str) -> float:
        allowed, text = self.allowed[name], row[name] or ""
        if not isinstance(allowed, Mapping):
            value = number(row, name, allowed[0], allowed[1], where=where)
            return math.log10(value + 1) if name in self.logarithm else value
        words = {_word(key): value for key, value in allowed.items()}
        if _word(text) in words:
            return float(words[_word(text)])
        if is_missing(text):
            return math.nan
        raise ValueError(f"{where}: {name} is '{text}'; expected one of {', '.join(map(str, allowed))}")

    def meaning(self) -> dict[str, Any]:
        """Names, words and logarithms as plain data, for a checkpoint."""
        words = {name: self._words(name) for name in self.names}
        return {"columns": list(self.names), "words": words, "logarithm": list(self.logarithm)}

    def matched(self, known: Mapping[str, Any]) -> "Columns":
        """The columns in the order of a training, given the `meaning` of its columns.

        Raises:
            ValueError: If columns, words or logarithms differ.
        """
        order = matched(self.names, known["columns"], "clinical columns")
        here = {known["columns"][place]: name for place, name in zip(order, self.names, strict=True)}
        for name, words in known["words"].items():
            logarithm = name in known["logarithm"]
            if words != self._words(here[name]) or logarithm != (here[name] in self.logarithm):
                meant = f"words count as {words}" if words else "it is a number"
                meant += f", and its logarithm {'is' if logarithm else 'is not'} taken"
                raise ValueError(f"clinical.{here[name]} means something else than in the training, where {meant}")
        return replace(self, allowed={here[name]: self.allowed[here[name]] for name in known["columns"]})

    def _words(self, name: str) -> dict[str, float] | None:
        """Numbers of the words of a column; None for a column of numbers."""
        allowed = self.allowed[name]
        return {str(key): float(value) for key, value in allowed.items()} if isinstance(allowed, Mapping) else None


def _word(text: object) -> str:
    """Normalise a word, so that `Stage_ 0-2` equals `stage_0-2`, and `1` equals `1.0`."""
    return plain(re.sub(r"\s+", "", str(text))).casefold()
