"""Simulated ultrasound of fetal hearts: four-chamber views, normal and hypoplastic."""

from medzoo.datamodules.phantoms.fetal_heart.cohort import FetalHeartPhantom

__all__ = ["FetalHeartPhantom"]
