"""Images without labels, to learn from what they look like."""

from datamodules.unlabelled.datamodule import UnlabelledDataModule
from datamodules.unlabelled.source import ImageSource

__all__ = ["ImageSource", "UnlabelledDataModule"]
