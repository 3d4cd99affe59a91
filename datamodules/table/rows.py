"""Rows of a table of cases: their names, columns and outcome."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medzoo.datamodules.io import Row, is_missing, plain, read_table, some
from medzoo.datamodules.table.columns import Levels, named, numbers_of

__all__ = ["Rows"]

_IDS = ("case", "id", "patient")


@dataclass(frozen=True)
class Rows:
    """A table of N cases."""

    file: Path  # the source
    by_case: Mapping[str, Row]  # the rows
    columns: Mapping[str, str]  # by name without unit, except those of the case and the split

    @classmethod
    def read(cls, file: Path, case: str | None, split: str) -> "Rows":
        """Read a CSV, TSV or XLSX with a row for each case.

        Names of cases are in the column `case`, or by default in one of `case`, `id` and `patient`; else rows are
        numbered.

        Raises:
            FileNotFoundError: If there is no file.
            ValueError: If there is no such column or no row, or a case or a column occurs twice.
        """
        if not file.is_file():
            raise FileNotFoundError(f"no file {file}: name a table with a row for each case")
        table = read_table(file)
        key = case or next((name for name in _IDS if name in table.columns), None)
        columns: dict[str, str] = {}
        for column in table.columns:
            if column in (key, split):
                continue
            if (name := named(column)) in columns:
                raise ValueError(f"{file}: {columns[name]} and {column} are both {name}; keep one")
            columns[name] = column
        return cls(file, table.by(key) if key else {f"row {row.line}": row for row in table.rows}, columns)

    def numbers(self, name: str, levels: Levels | None, *, find: bool) -> tuple[np.ndarray, Levels | None]:
        """A column converted by `numbers_of`.

        Raises:
            ValueError: If there is no such column, or a cell is neither a number nor a level.
        """
        if name not in self.columns:
            raise ValueError(f"no column {name}; there are {', '.join(self.columns)}")
        column = self.columns[name]
        comma = any(column in row.commas for row in self.by_case.values())
        cells = [row[column] for row in self.by_case.values()]
        return numbers_of(cells, name, [*self.by_case], levels, find=find, comma=comma)

    def outcome(self, outcome: str, positive: str | None) -> np.ndarray:
        """(N,) bool, whether a case has the diagnosis: the word `positive`, or 1 in a column of 0 and 1.

        Raises:
            ValueError: If there is no such column, a cell is empty, or it is unclear which word is the diagnosis.
        """
        column = self.columns.get(named(outcome))
        if column is None:
            raise ValueError(
                f"{self.file}: no column {outcome}; set datamodule.outcome to one of {', '.join(self.columns)}"
            )
        cells = [plain(row[column]) for row in self.by_case.values()]
        for case, cell in zip(self.by_case, cells, strict=True):
            if is_missing(cell) and not (cell == "-" and "+" in cells) and cell != positive:
                raise ValueError(f"{self.file}: {outcome} of case {case} is missing; leave the case out")
        words = sorted({*cells})
        if positive is not None:
            positive = plain(positive)
            if positive not in words and len(words) > 1:
                raise ValueError(f"{self.file}: no {outcome} is {positive}; it is {some(words)}")
            return np.array([cell == positive for cell in cells])
        if {*words} <= {"0", "1"}:
            return np.array([cell == "1" for cell in cells])
        told = f"{outcome} is {some(words)}; say which is the diagnosis with datamodule.positive"
        raise ValueError(f"{self.file}: {told}")
