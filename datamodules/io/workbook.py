"""Sheets of an Excel workbook (.xlsx) as lines of text: what a person sees in the cells."""

import datetime
import io
import re
import warnings
from pathlib import Path
from typing import Any

from datamodules.io.text import Line

__all__ = ["cells_of_workbook"]


def cells_of_workbook(data: bytes, file: Path, sheet: str = "") -> tuple[list[Line], list[str]]:
    """Lines of cells of one sheet, and what else is to be told.

    Args:
        data: The workbook.
        file: For messages.
        sheet: Its name in any case; without one the first that is visible and has cells.

    Raises:
        ValueError: If it cannot be read, there is no such sheet, or a formula has no value.
    """
    try:
        return _read(data, file, sheet)
    except ValueError:
        raise
    except Exception as error:  # whatever the library meets in a damaged file
        told = " ".join(str(error).split())
        raise ValueError(
            f"{file} could not be read as an Excel workbook ({told}); save it again as .xlsx or CSV"
        ) from error


def _read(data: bytes, file: Path, sheet: str) -> tuple[list[Line], list[str]]:
    values, formulas = _opened(data)
    filled = [one for one in values.worksheets if one.sheet_state == "visible" and any(map(_text, _cells(one)))]
    if sheet:
        found = [one for one in values.worksheets if one.title.strip().casefold() == sheet.casefold()]
        if not found:
            raise ValueError(f"{file}: no sheet '{sheet}'; it has {', '.join(values.sheetnames)}")
    else:
        found = filled
    if not found:
        return [], []
    chosen, notes = found[0], []
    if len(filled) > 1 and not sheet:
        others = ", ".join(f"'{one.title}'" for one in filled if one is not chosen)
        notes.append(f"sheet '{chosen.title}' is read, and not {others}")
    if merged := sorted(cells.coord for cells in chosen.merged_cells.ranges):
        notes.append(f"merged cells ({merged[0]}, ...) count as the first and empty ones")
    _check_formulas(chosen, formulas[chosen.title], file)
    return _lines(chosen), notes


def _opened(data: bytes) -> list[Any]:
    """The workbook with values, and with formulas."""
    import openpyxl  # takes a third of a second, and few tables are workbooks

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a sheet has beside cells
        return [openpyxl.load_workbook(io.BytesIO(data), data_only=flag) for flag in (True, False)]


def _cells(sheet: Any) -> list[Any]:
    """Those that are in the file: a stray one in the last row would make `iter_rows` walk through a million."""
    return [cell for _, cell in sorted(sheet._cells.items())]


def _check_formulas(sheet: Any, formulas: Any, file: Path) -> None:
    """A program that is not Excel may write formulas without values, which would look like empty cells."""
    for cell in _cells(formulas):
        said = sheet._cells.get((cell.row, cell.column))
        if cell.data_type == "f" and (said is None or (said.value is None and said.data_type == "n")):
            raise ValueError(
                f"{file}: cell {cell.coordinate} of sheet '{sheet.title}' has a formula without a value; open the file "
                "in Excel and save it, or save it as CSV"
            )


def _lines(sheet: Any) -> list[Line]:
    rows: dict[int, dict[int, str]] = {}
    for cell in _cells(sheet):
        if text := _text(cell):
            rows.setdefault(cell.row, {})[cell.column] = text
    width = max((column for cells in rows.values() for column in cells), default=0)
    return [(row, [cells.get(column, "") for column in range(1, width + 1)]) for row, cells in rows.items()]


def _text(cell: Any) -> str:
    """As it is shown: without a needless `.0`, with the leading zeros of a format `000`, a date as 2024-03-01."""
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
