"""Cohorts of the liver with imaging, histology, clinical data and gene expression."""

from medzoo.datamodules.liver.datamodule import LiverCohortDataModule

__all__ = ["LiverCohortDataModule"]
