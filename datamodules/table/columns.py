"""Columns of a table as numbers: units in names, levels of binary columns, and columns that leak the outcome.

A column `age [years]` or `age (years)` is the predictor `age` in years. A predictor with two values, numbers or words,
becomes 0 and 1; these values are its levels, in order.
"""

import re
from collections.abc import Collection, Sequence

import numpy as np

from medzoo.datamodules.io import is_missing, parse

__all__ = ["Levels", "mostly_numbers", "named", "numbers_of", "tells_outcome", "unit_of"]

Levels = tuple[str, str]
"""The two values of a column; the first becomes 0."""

_UNIT = re.compile(r"(.*\S)\s*[\[(]([^\])]*)[\])]\s*")
_SAME = 0.98
"""A binary column that agrees with the outcome in this share of cases is taken for the outcome."""
_MOSTLY = 0.8
"""In a column with more than this share of numbers, other cells are mistakes."""


def named(column: str) -> str:
    """The name of a column without its unit."""
    found = _UNIT.fullmatch(column)
    return (found.group(1) if found else column).strip()


def unit_of(column: str) -> str:
    """The unit in a column's name, or an empty string."""
    found = _UNIT.fullmatch(column)
    return found.group(2).strip() if found else ""


def numbers_of(
    cells: Sequence[str],
    name: str,
    cases: Sequence[str],
    levels: Levels | None = None,
    *,
    find: bool = True,
    comma: bool = False,
) -> tuple[np.ndarray, Levels | None]:
    """Convert a column to numbers.

    With `find`, unknown levels are looked for. In a later table, a column without known levels holds numbers, even if
    it has only two values. `comma` allows decimal commas (`datamodules.io.Row.commas`).

    Returns:
        (N,) numbers, NaN where missing, and the levels of a binary column; None if they are 0 and 1.

    Raises:
        ValueError: If a cell is neither a number nor a level.
    """
    kept = {"-", *(levels or ())} if "+" in cells else {*(levels or ())}  # beside a plus, a minus is not a missing cell
    texts = [
        _text(cell.strip(), f"{name} of case {case}", kept, comma) for cell, case in zip(cells, cases, strict=True)
    ]
    known = sorted({text for text in texts if text}, key=_order)
    words = [text for text in known if not _is_number(text)]
    if find and levels is None and len(known) == 2 and known != ["0", "1"]:
        levels = (known[0], known[1])
    if levels is not None:
        places = {_text(level, name, kept): place for place, level in enumerate(levels)}
        for text, case in zip(texts, cases, strict=True):
            if text and text not in places:
                raise ValueError(f"{name} of case {case} is {text!r}; expected {' or '.join(levels)}")
        return np.array([places[text] if text else np.nan for text in texts], float), levels
    if words:
        case = cases[texts.index(words[0])]
        raise ValueError(
            f"{name} of case {case} is {words[0]!r}, which is not a number; a predictor is a number or has two values: "
            "make a column of 0 and 1 of each word"
        )
    return np.array([float(text) if text else np.nan for text in texts]), None


def mostly_numbers(cells: Sequence[str]) -> bool:
    """Whether nearly all known cells are numbers, so that the others are mistakes."""
    known = [cell for cell in cells if not is_missing(cell)]
    return sum(_is_number(cell.replace(",", ".")) for cell in known) > _MOSTLY * len(known)


def tells_outcome(values: np.ndarray, positive: np.ndarray) -> bool:
    """Whether a binary column (N,) nearly always agrees with the outcome (N,), so that it is the outcome itself."""
    known = np.isfinite(values)
    found = np.unique(values[known])
    if len(found) != 2 or not known.any():
        return False
    agrees = float(np.mean((values[known] == found[1]) == positive[known]))
    return max(agrees, 1 - agrees) >= _SAME


def _text(cell: str, where: str, kept: Collection[str], comma: bool = False) -> str:
    """A cell with numbers in one notation; empty if missing."""
    if cell in kept and is_missing(cell):
        return cell
    value = parse(cell, where, comma=comma)
    if value is None:
        return cell
    return "" if np.isnan(value) else f"{value:.12g}"


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def _order(text: str) -> tuple[bool, float, str]:
    return (False, float(text), "") if _is_number(text) else (True, 0.0, text)
