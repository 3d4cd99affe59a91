"""Synthetic cohorts: seeded generators of images whose labels follow a documented causal model."""

from medzoo.datamodules.phantoms.adrenal import adrenal_phantom
from medzoo.datamodules.phantoms.breast import breast_phantom

__all__ = ["adrenal_phantom", "breast_phantom"]
