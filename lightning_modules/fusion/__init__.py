"""Fusion of modalities: the module that trains it, and what it fits after training."""

from medzoo.lightning_modules.fusion.module import FusionModule

__all__ = ["FusionModule"]
