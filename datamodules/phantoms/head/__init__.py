"""Head CT pairs with a bleed that may grow: a synthetic cohort with a documented causal model."""

from datamodules.phantoms.head.cohort import cohort_name, write_head_cohort
from datamodules.phantoms.head.patient import Patient, simulate
from datamodules.phantoms.head.phantom import HeadPhantom
from datamodules.phantoms.head.rendering import Scan
from datamodules.phantoms.head.segmentation import HeadPictures, HeadScans

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
