"""Four-chamber views of fetal hearts, normal and hypoplastic, as ultrasound shows them."""

from medzoo.datamodules.phantoms.fetal_heart.cohort import FetalHeartPhantom

__all__ = ["FetalHeartPhantom"]
