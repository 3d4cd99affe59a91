"""Abdomens with CT, MR, tiles, tables and genes: a synthetic cohort with a documented causal model."""

from medzoo.datamodules.phantoms.liver.cohort import LiverPhantom
from medzoo.datamodules.phantoms.liver.pictures import LiverPictures

__all__ = ["LiverPhantom", "LiverPictures"]
