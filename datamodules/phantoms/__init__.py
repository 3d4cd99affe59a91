"""Synthetic cohorts: seeded generators that write real files in the real layout, with a known truth behind the labels."""

from datamodules.phantoms.adrenal import adrenal_phantom
from datamodules.phantoms.breast import breast_phantom

__all__ = ["adrenal_phantom", "breast_phantom"]
