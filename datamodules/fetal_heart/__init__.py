"""Four-chamber views of fetal hearts with a table of cases, as a hospital keeps them."""

from datamodules.fetal_heart.datamodule import FetalHeartDataModule
from datamodules.phantoms.fetal_heart import FetalHeartPhantom

__all__ = ["FetalHeartDataModule", "FetalHeartPhantom"]
