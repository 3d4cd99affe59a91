"""Head CT pairs with a bleed that may grow: a synthetic cohort with a documented causal model."""

from medzoo.datamodules.phantoms.head.cohort import cohort_name, write_head_cohort
from medzoo.datamodules.phantoms.head.patient import Patient, simulate
from medzoo.datamodules.phantoms.head.phantom import HeadPhantom
from medzoo.datamodules.phantoms.head.rendering import Scan
from medzoo.datamodules.phantoms.head.segmentation import HeadPictures, HeadScans

__all__ = [
    "HeadPhantom",
    "HeadPictures",
    "HeadScans",
    "Patient",
    "Scan",
    "cohort_name",
    "simulate",
    "write_head_cohort",
]
