"""The only room that opens image, table and archive files: each kind has one reader, and each question one answer."""

from datamodules.io.cells import flag, is_missing, number, parse, plain
from datamodules.io.files import hidden, listed, opening, written
from datamodules.io.ids import match_ids
from datamodules.io.tables import Row, Table, find_table, read_matrix, read_table, write_table

__all__ = [
    "Row",
    "Table",
    "find_table",
    "flag",
    "hidden",
    "is_missing",
    "listed",
    "match_ids",
    "number",
    "opening",
    "parse",
    "plain",
    "read_matrix",
    "read_table",
    "write_table",
    "written",
]
