"""Four-chamber views of fetal hearts, normal and hypoplastic, as ultrasound shows them."""

from datamodules.phantoms.fetal_heart.cohort import FetalHeartPhantom

__all__ = ["FetalHeartPhantom"]
