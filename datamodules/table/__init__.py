"""A table of cases alone: an outcome and measured predictors, no images."""

from datamodules.phantoms.fetal_heart.table import FetalHeartTable
from datamodules.table.datamodule import TableDataModule

__all__ = ["FetalHeartTable", "TableDataModule"]
