"""Rows of a CSV of cases: their names, columns, outcome and splits."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from datamodules.fetal_heart.files import read_table
from datamodules.table.columns import named

__all__ = ["Rows", "outcome_of", "read_rows"]

Rows = Mapping[str, Mapping[str, str]]
"""Cells by column, by case."""

_IDS = ("case", "id", "patient")


def read_rows(file: Path, case: str | None, split: str) -> tuple[Rows, dict[str, str]]:
    """Read a CSV.

    Args:
        file: With a row for each case.
        case: Column of names; none for one that is called so, or to number the rows.
        split: Column of splits, which is no other column.

    Returns:
        The rows, and columns by their name without unit.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If there is no such column or no row, or a case stands there twice.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}: name a CSV with a row for each case")
    with file.open(newline="", encoding="utf-8-sig") as opened:
        reader = csv.DictReader(opened)
        header, rows = list(reader.fieldnames or ()), list(reader)
    if case and case not in header:
        raise ValueError(f"{file}: no column {case}; it has {', '.join(header)}")
    key = case or next((name for name in _IDS if name in header), None)
    table = read_table(file, key) if key else {f"row {place}": row for place, row in enumerate(rows, 2)}
    if not table:
        raise ValueError(f"{file}: no case")
    return table, {named(column): column for column in header if column not in (key, split)}


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
    cells = [(row.get(column) or "").strip() for row in table.values()]
    for case, cell in zip(table, cells, strict=True):
        if not cell:
            raise ValueError(f"{source}: {outcome} of case {case} is missing; leave the case out")
    words = sorted({*cells})
    if positive is not None:
        if positive not in words and len(words) > 1:
            raise ValueError(f"{source}: no {outcome} is {positive}; it is {', '.join(words[:5])}")
        return np.array([cell == positive for cell in cells])
    if {*words} <= {"0", "1", "0.0", "1.0"}:
        return np.array([float(cell) == 1 for cell in cells])
    told = f"{outcome} is {', '.join(words[:5])}; say which is the diagnosis with datamodule.positive"
    raise ValueError(f"{source}: {told}")
