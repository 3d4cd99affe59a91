"""Rows of a table of cases: their names, columns, outcome and splits."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from datamodules.io import Row, is_missing, plain, read_table, some
from datamodules.table.columns import named

__all__ = ["Rows", "outcome_of", "read_rows"]

Rows = Mapping[str, Row]
"""Rows by case."""

_IDS = ("case", "id", "patient")


def read_rows(file: Path, case: str | None, split: str) -> tuple[Rows, dict[str, str]]:
    """Read a table.

    Args:
        file: CSV, TSV or XLSX with a row for each case.
        case: Column of names; none for one that is called so, or to number the rows.
        split: Column of splits, which is no other column.

    Returns:
        The rows, and columns by their name without unit.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If there is no such column or no row, or a case or a column stands there twice.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}: name a table with a row for each case")
    table = read_table(file)
    key = case or next((name for name in _IDS if name in table.columns), None)
    rows = table.by(key) if key else {f"row {row.line}": row for row in table.rows}
    columns: dict[str, str] = {}
    for column in table.columns:
        if column in (key, split):
            continue
        if (name := named(column)) in columns:
            raise ValueError(f"{file}: {columns[name]} and {column} are both {name}; keep one")
        columns[name] = column
    return rows, columns


def outcome_of(table: Rows, columns: Mapping[str, str], outcome: str, positive: str | None, source: Path) -> np.ndarray:
    """Who has the diagnosis.

    Args:
        table: The rows.
        columns: By name without unit.
        outcome: The column.
        positive: The word that is the diagnosis; none where the column has 0 and 1.
        source: Named in messages.

    Returns:
        (N,) bool.

    Raises:
        ValueError: If there is no such column, a cell is empty, or the words do not say which is the diagnosis.
    """
    column = columns.get(named(outcome))
    if column is None:
        raise ValueError(f"{source}: no column {outcome}; set datamodule.outcome to one of {', '.join(columns)}")
    cells = [plain(row[column]) for row in table.values()]
    for case, cell in zip(table, cells, strict=True):
        if is_missing(cell) and not (cell == "-" and "+" in cells) and cell != positive:
            raise ValueError(f"{source}: {outcome} of case {case} is missing; leave the case out")
    words = sorted({*cells})
    if positive is not None:
        positive = plain(positive)
        if positive not in words and len(words) > 1:
            raise ValueError(f"{source}: no {outcome} is {positive}; it is {some(words)}")
        return np.array([cell == positive for cell in cells])
    if {*words} <= {"0", "1"}:
        return np.array([cell == "1" for cell in cells])
    told = f"{outcome} is {some(words)}; say which is the diagnosis with datamodule.positive"
    raise ValueError(f"{source}: {told}")
