"""From the scans of a cohort to slices of its bleeds, and whether they expand."""

from datamodules.hematoma.cut_slices import CutSlicesDataModule
from datamodules.hematoma.scans import HematomaScansDataModule
from datamodules.hematoma.slices import HematomaSlicesDataModule

__all__ = ["CutSlicesDataModule", "HematomaScansDataModule", "HematomaSlicesDataModule"]
