"""Tables of a run as CSV."""

from pathlib import Path

import pandas as pd

from medzoo.files import write_text

__all__ = ["write_table"]


def write_table(file: Path, table: pd.DataFrame) -> None:
    """Write a table, all or nothing; fractions have six digits, and missing values are empty."""
    write_text(file, table.astype(object).map(_text).to_csv(index=False, lineterminator="\n"))


def _text(value: object) -> str:
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() else f"{value:.6g}"
    return str(value)
