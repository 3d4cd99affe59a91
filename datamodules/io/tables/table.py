"""Read tables with a header: CSV and TSV in all encodings and with all separators that Excel writes, or XLSX.

Cells are stripped text; `number` and `flag` convert them. Blank rows and columns are skipped. One line of the log says
what was read.
"""

import csv
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medzoo.datamodules.io.files import listed
from medzoo.datamodules.io.tables.cells import ERRORS, decimal_comma, parse
from medzoo.datamodules.io.tables.ids import alike
from medzoo.datamodules.io.tables.text import Line, cells_of_text, read_bytes, text_of
from medzoo.datamodules.io.tables.workbook import cells_of_workbook
from medzoo.files import replacing

__all__ = ["ENDINGS", "Row", "Table", "find_table", "read_matrix", "read_table", "write_table"]

log = logging.getLogger(__name__)

ENDINGS = (".csv", ".tsv", ".xlsx", ".xls")
"""Endings of tables, in order of preference; `.xls` only to say that it is not supported."""


class Row(dict[str, str]):
    """Cells by column.

    Attributes:
        source: The file, and the columns with decimal commas.
        line: Line in the file.
        name: The id with its column's name, once known.
    """

    __slots__ = ("line", "name", "source")  # set from outside, since an `__init__` would double the time per row
    source: tuple[Path, frozenset[str]]
    line: int
    name: str

    @property
    def where(self) -> str:
        """File, line and id, for messages."""
        return f"{self.source[0]}, line {self.line}" + f" ({self.name})" * bool(self.name)

    @property
    def commas(self) -> frozenset[str]:
        """Columns with decimal commas."""
        return self.source[1]


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        file: Its file.
        columns: Unique names.
        rows: At least one row.
    """

    file: Path
    columns: tuple[str, ...]
    rows: list[Row]

    def need(self, *columns: str) -> None:
        """Check that columns exist.

        Raises:
            ValueError: If one is missing; the message names columns with almost that name.
        """
        absent = [name for name in columns if name not in self.columns]
        if absent:
            near = [name for name in self.columns if alike(name) in map(alike, absent)]
            told = f"it has {', '.join(near or self.columns[:8])}{', ...' * (not near and len(self.columns) > 8)}"
            raise ValueError(f"{self.file}: no column {', '.join(absent)}; {told}")

    def by(self, column: str) -> dict[str, Row]:
        """Rows by id, in order.

        Raises:
            ValueError: If there is no such column, a row has no id, or an id occurs twice.
        """
        self.need(column)
        found: dict[str, Row] = {}
        for row in self.rows:
            name = row[column]
            if not name or name.upper().startswith(ERRORS):
                raise ValueError(f"{row.where}: no {column}; fill it in, or delete the row")
            if name in found:
                lines = f"in lines {found[name].line} and {row.line}"
                raise ValueError(f"{self.file}: {column} {name} occurs twice, {lines}; keep one")
            row.name = f"{column} {name}"
            found[name] = row
        return found


def read_table(file: Path, *, sheet: str = "", comment: str = "") -> Table:
    """Read a table.

    Args:
        file: Text, possibly gzipped, or an Excel workbook; recognised by content, not by name.
        sheet: Sheet of a workbook; by default the first with cells.
        comment: Prefix of lines to skip.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a table, has no rows or a column twice, or a line has another number of cells.
    """
    names, lines, notes = _opened(file, sheet, comment)
    body = list(lines)
    if not body:
        raise ValueError(f"{file} has a header and no rows")
    columns = list(zip(*(cells for _, cells in body), strict=True))
    nameless = sum(not name and any(column) for name, column in zip(names, columns, strict=True))
    if nameless:
        notes.append(f"{nameless} columns without a name are left out")
    kept = tuple(name for name in names if name)
    commas = frozenset(name for name, column in zip(names, columns, strict=True) if name and decimal_comma(column))
    rows, source = [], (file, commas)
    for line, cells in body:
        row = Row(zip(names, cells, strict=False))
        row.source, row.line, row.name = source, line, ""
        rows.append(row)
    if len(kept) < len(names):
        for row in rows:
            del row[""]
    _tell(file, len(rows), len(kept), notes)
    return Table(file, kept, rows)


def read_matrix(file: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Read names of R rows, names of C columns, and (R, C) numbers, NaN if missing; for many thousand rows.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: As for `read_table`, or if a cell is not a number.
    """
    columns, lines, notes = _opened(file)
    names, found, odd, points = [], list[np.ndarray](), [], False
    for line, (name, *cells) in lines:
        names.append(name)
        text = "".join(cells)
        try:
            values = np.array(list(map(float, cells)))
            if "_" in text or not np.isfinite(values).all():
                raise ValueError
            points |= "." in text
        except ValueError:  # a missing value or a decimal comma
            values = np.full(len(cells), np.nan)
            odd.append((len(found), line, cells))
        found.append(values)
    if not found:
        raise ValueError(f"{file} has a header and no rows")
    comma = decimal_comma([cell for *_, cells in odd for cell in cells]) and not points
    for place, line, cells in odd:
        for number, (column, cell) in enumerate(zip(columns[1:], cells, strict=True)):
            value = parse(cell, where := f"{file}, line {line} ({names[place]}): {column}", comma=comma)
            if value is None:
                raise ValueError(f"{where} is '{cell}', which is not a number")
            found[place][number] = value
    kept = [place for place, name in enumerate(columns[1:]) if name]
    _tell(file, len(found), len(kept), notes)
    return names, [columns[1:][place] for place in kept], np.stack(found)[:, kept]


def find_table(folder: Path, stem: str) -> Path:
    """Find a table by name in a folder: CSV, else TSV, else XLSX; if there is none, the path of a CSV."""
    found = [file for file in listed(folder) if file.stem.casefold() == stem and file.suffix.lower() in ENDINGS]
    found.sort(key=lambda file: ENDINGS.index(file.suffix.lower()))
    if len(found) > 1:
        log.warning("%s is read, and not %s beside it", found[0], ", ".join(file.name for file in found[1:]))
    return found[0] if found else folder / f"{stem}.csv"


def write_table(file: Path, columns: Iterable[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a CSV in UTF-8, in one step; missing cells are empty, and cells of other columns are left out."""
    with replacing(file) as partial, partial.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(columns), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _opened(file: Path, sheet: str = "", comment: str = "") -> tuple[list[str], Iterator[Line], list[str]]:
    """Names of columns, the non-blank lines below with one cell for each name, and notes on what is unusual."""
    data = read_bytes(file)
    lines: Iterable[Line]
    if data.startswith(b"PK"):
        lines, notes = cells_of_workbook(data, file, sheet)
    else:
        text, encoding = text_of(data, file)
        lines, separator = cells_of_text(text, file, comment)
        notes = [] if encoding.startswith("utf-8") else [f"read as {encoding}"]
        if separator == "semicolons" or (separator == "tabs" and file.suffix.lower() == ".csv"):
            notes.append(f"separated by {separator}")
    lines = iter(lines)
    names = next((cells for _, cells in lines if any(cells)), [])
    if not names:
        raise ValueError(f"{file} is empty; expected a header and rows")
    double = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if double:
        raise ValueError(f"{file}: column {', '.join(double)} occurs twice in the header; rename one, or delete it")
    return names, _squared(lines, names, file), notes


def _squared(lines: Iterable[Line], names: list[str], file: Path) -> Iterator[Line]:
    """Non-blank lines with a cell for each name."""
    named = max(place for place, name in enumerate(names, 1) if name)
    for line, cells in lines:
        if not any(cells):
            continue
        if len(cells) != len(names):
            if len(cells) < named or any(cells[len(names) :]):
                raise ValueError(f"{file}, line {line}: {len(cells)} cells under {len(names)} names; correct the line")
            cells = (cells + [""] * (len(names) - len(cells)))[: len(names)]
        yield line, cells


def _tell(file: Path, rows: int, columns: int, notes: list[str]) -> None:
    log.info("%s", "; ".join([f"{file}: {rows} rows, {columns} columns", *notes]))
