"""Slices of bleeds and whether they expand."""

from datamodules.hematoma.phantom import HematomaSlicesPhantomDataModule
from datamodules.hematoma.slices import HematomaSlicesDataModule

__all__ = ["HematomaSlicesDataModule", "HematomaSlicesPhantomDataModule"]
