"""Cells of a table: text, and its conversion to numbers."""

import math
import re
from collections.abc import Mapping, Sequence

__all__ = ["ERRORS", "MISSING", "decimal_comma", "flag", "is_missing", "number", "parse", "plain"]

_TCGA = ("[not available]", "[not applicable]", "[not evaluated]", "[unknown]")
MISSING = ("", "na", "n/a", "nan", "none", "null", "?", ".", "-", "--", "'--", "unknown", *_TCGA)
"""Cells that mean a missing value, in lower case."""

ERRORS = ("#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!", "##")
"""Prefixes of error values of Excel."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_MARKED = re.compile(r"[+-]?\d*([.,])\d+", re.ASCII)
_THOUSAND = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
_WHOLE = re.compile(r"([+-]?\d+)[.,]0+", re.ASCII)


def number(
    row: Mapping[str, str], column: str, low: float = -math.inf, high: float = math.inf, *, where: str = ""
) -> float:
    """The number in a cell.

    Args:
        row: Cells by column; a `Row` knows its file, its line and the columns with decimal commas.
        column: Column of the cell.
        low: Lowest allowed value.
        high: Highest allowed value.
        where: File and patient, for messages; by default from the row.

    Returns:
        The value, NaN if missing.

    Raises:
        ValueError: If it is not a number, ambiguous (`1,234`) or out of range; the message names file, line and column.
    """
    text, where = (row.get(column) or "").strip(), f"{where or getattr(row, 'where', 'a row')}: {column}"
    value = parse(text, where, comma=column in getattr(row, "commas", ()))
    if value is None:
        raise ValueError(f"{where} is '{text}', which is not a number")
    if value < low or value > high:
        limits = f"below {low:g}" if math.isinf(high) else f"outside {low:g} to {high:g}"
        raise ValueError(f"{where} is {value:g}, {limits}; correct the unit")
    return value


def flag(row: Mapping[str, str], column: str, *, where: str = "") -> float:
    """0 or 1 in a cell, NaN if missing.

    Raises:
        ValueError: If it is anything else.
    """
    text, where = (row.get(column) or "").strip(), where or getattr(row, "where", "a row")
    value = parse(text, f"{where}: {column}")
    if value is None or not (math.isnan(value) or value in (0, 1)):
        raise ValueError(f"{where}: {column} is '{text}'; expected 0 or 1")
    return value


def parse(text: str, where: str, *, comma: bool = False) -> float | None:
    """Convert text to a number; NaN if missing, None if it is not a number.

    Args:
        text: Stripped text. `12.5` and `12,5` are numbers; what could be thousands is read only if other cells of the
            column settle it.
        where: The place, for messages.
        comma: Whether other cells of the column show that commas are decimal.

    Raises:
        ValueError: If it is an error of Excel, or `1,234`, or `1.234` among decimal commas, or too large.
    """
    if is_missing(text):
        return math.nan
    if text.upper().startswith(ERRORS):
        raise ValueError(f"{where} is '{text}', an error of Excel; correct the formula, or leave the cell empty")
    point = text.replace(",", ".", 1)
    if ("." in text and "," in text) or not _NUMBER.fullmatch(point):
        return None
    if _THOUSAND.fullmatch(text) and ("," in text) != comma:
        raise ValueError(f"{where} is '{text}': is that {point}, or {point.replace('.', '')}? Write one of the two")
    if math.isinf(float(point)):
        raise ValueError(f"{where} is {text}, which is too large for a number")
    return float(point)


def decimal_comma(cells: Sequence[str]) -> bool:
    """Whether a column has decimal commas: one that can be nothing else, and no decimal point."""
    if "," not in "".join(cells):
        return False
    marks = {found[1] for cell in cells if (found := _MARKED.fullmatch(cell)) and not _THOUSAND.fullmatch(cell)}
    return marks == {","}


def is_missing(text: str) -> bool:
    """Whether a cell means a missing value."""
    return text.strip().lower() in MISSING


def plain(text: str) -> str:
    """Normalise a label: `1.0` and `1,0` become `1`. Not for ids, which are text."""
    found = _WHOLE.fullmatch(text.strip())
    return found[1] if found else text.strip()
