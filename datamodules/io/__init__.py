"""The only package that opens image, table and archive files, with one reader for each format."""

from medzoo.datamodules.io.dicom.files import holds_dicom, is_dicom
from medzoo.datamodules.io.files import hidden, in_order, listed, opening, read_json, setting, some, spelt
from medzoo.datamodules.io.finding import find_volumes, named
from medzoo.datamodules.io.tables.cells import flag, is_missing, number, parse, plain
from medzoo.datamodules.io.tables.ids import match_ids
from medzoo.datamodules.io.tables.table import Row, Table, find_table, read_matrix, read_table, write_table
from medzoo.datamodules.io.volumes.formats import VOLUMES, volume_ending
from medzoo.datamodules.io.volumes.grid import Grid, check_same_grid, from_itk, to_itk
from medzoo.datamodules.io.volumes.hounsfield import check_hu, check_offset
from medzoo.datamodules.io.volumes.volume import Volume, geometry, label_map, read_mask, read_volume, write_like

__all__ = [
    "VOLUMES",
    "Grid",
    "Row",
    "Table",
    "Volume",
    "check_hu",
    "check_offset",
    "check_same_grid",
    "find_table",
    "find_volumes",
    "flag",
    "from_itk",
    "geometry",
    "hidden",
    "holds_dicom",
    "in_order",
    "is_dicom",
    "is_missing",
    "label_map",
    "listed",
    "match_ids",
    "named",
    "number",
    "opening",
    "parse",
    "plain",
    "read_json",
    "read_mask",
    "read_matrix",
    "read_table",
    "read_volume",
    "setting",
    "some",
    "spelt",
    "to_itk",
    "volume_ending",
    "write_like",
    "write_table",
]
