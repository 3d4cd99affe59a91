"""Read sheets of an Excel workbook (.xlsx) as lines of text, as shown in the cells."""

import datetime
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from medzoo.datamodules.io.tables.text import Line

if TYPE_CHECKING:
    from openpyxl.cell import Cell
    from openpyxl.worksheet.worksheet import Worksheet

__all__ = ["cells_of_workbook"]


@dataclass(frozen=True)
class _Sheet:
    """A sheet, with its merged cells and its formulas without values."""

    title: str
    visible: bool
    lines: list[Line]
    merged: list[str]
    unknown: list[str]


def cells_of_workbook(data: bytes, file: Path, sheet: str = "") -> tuple[list[Line], list[str]]:
    """Lines of cells of one sheet, and notes on what is unusual.

    Args:
        data: The workbook.
        file: For messages.
        sheet: Its name, in any case; by default the first visible sheet with cells.

    Raises:
        ValueError: If it cannot be read, there is no such sheet, or a formula has no value.
    """
    sheets = _sheets(data, file)
    filled = [one for one in sheets if one.visible and (one.lines or one.unknown)]
    found = [one for one in sheets if one.title.strip().casefold() == sheet.casefold()] if sheet else filled
    if sheet and not found:
        raise ValueError(f"{file}: no sheet '{sheet}'; it has {', '.join(one.title for one in sheets)}")
    if not found:
        return [], []
    chosen, notes = found[0], []
    if chosen.unknown:
        raise ValueError(
            f"{file}: cell {chosen.unknown[0]} of sheet '{chosen.title}' has a formula without a value; open the file "
            "in Excel and save it, or save it as CSV"
        )
    if len(filled) > 1 and not sheet:
        others = ", ".join(f"'{one.title}'" for one in filled if one is not chosen)
        notes.append(f"sheet '{chosen.title}' is read, and not {others}")
    if chosen.merged:
        notes.append(f"merged cells ({chosen.merged[0]}, ...) count as the first and empty ones")
    return chosen.lines, notes


def _sheets(data: bytes, file: Path) -> list[_Sheet]:
    import openpyxl  # imported late: it takes a third of a second

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other content than cells
            values, formulas = (openpyxl.load_workbook(io.BytesIO(data), data_only=flag) for flag in (True, False))
        return [_sheet(one, formulas[one.title]) for one in values.worksheets]
    except Exception as error:  # the library raises anything at a damaged file
        told = " ".join(str(error).split())
        raise ValueError(
            f"{file} could not be read as an Excel workbook ({told}); save it again as .xlsx or CSV"
        ) from error


def _sheet(values: "Worksheet", formulas: "Worksheet") -> _Sheet:
    """Read the stored cells only: with a stray one in the last row, `iter_rows` would walk through a million.

    Programs other than Excel may write formulas without values, which would look like empty cells.
    """
    rows: dict[int, dict[int, str]] = {}
    for (row, column), cell in sorted(values._cells.items()):
        if text := _text(cell):
            rows.setdefault(row, {})[column] = text
    width = max((column for cells in rows.values() for column in cells), default=0)
    lines = [(row, [cells.get(column, "") for column in range(1, width + 1)]) for row, cells in rows.items()]
    empty = {place for place, cell in values._cells.items() if cell.value is None and cell.data_type == "n"}
    computed = [place for place, cell in sorted(formulas._cells.items()) if cell.data_type == "f"]
    unknown = [formulas._cells[place].coordinate for place in computed if place in empty or place not in values._cells]
    merged = sorted(cells.coord for cells in values.merged_cells.ranges)
    return _Sheet(values.title, values.sheet_state == "visible", lines, merged, unknown)


def _text(cell: "Cell") -> str:
    """A cell as shown: without a needless `.0`, with the leading zeros of a format `000`, a date as 2024-03-01."""
    value, shown = cell.value, str(cell.number_format)
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime.datetime):
        return (value.date() if value.time() == datetime.time() else value).isoformat()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, int | float):
        if shown.endswith("%"):
            return f"{value * 100:.12g}%"
        text = str(int(value)) if float(value).is_integer() else repr(value)
        return text.zfill(len(shown)) if re.fullmatch("0+", shown) and text.isdigit() else text
    return str(value).strip()
