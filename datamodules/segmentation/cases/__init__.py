"""Cases of a data set with label maps: read, checked and resampled once, and cut into patches."""

from medzoo.datamodules.segmentation.cases.case import Case, CaseReading, make_case, prepare_case, read_case
from medzoo.datamodules.segmentation.cases.grid import corner_around, corner_at_random, crop, random_crop, resample
from medzoo.datamodules.segmentation.cases.intensities import Intensities, measure
from medzoo.datamodules.segmentation.cases.reading import geometries, geometry, raw_image

__all__ = [
    "Case",
    "CaseReading",
    "Intensities",
    "corner_around",
    "corner_at_random",
    "crop",
    "geometries",
    "geometry",
    "make_case",
    "measure",
    "prepare_case",
    "random_crop",
    "raw_image",
    "read_case",
    "resample",
]
