"""The only room that opens image, table and archive files: each kind has one reader, and each question one answer."""

from datamodules.io.files import hidden, listed, named, opening, some, written
from datamodules.io.formats import VOLUMES, volume_ending
from datamodules.io.grid import Grid, check_same_grid, from_itk, to_itk
from datamodules.io.hounsfield import check_hu, check_offset
from datamodules.io.volumes import Volume, geometry, label_map, read_mask, read_volume, write_like

__all__ = [
    "VOLUMES",
    "Grid",
    "Volume",
    "check_hu",
    "check_offset",
    "check_same_grid",
    "from_itk",
    "geometry",
    "hidden",
    "label_map",
    "listed",
    "named",
    "opening",
    "read_mask",
    "read_volume",
    "some",
    "to_itk",
    "volume_ending",
    "write_like",
    "written",
]
