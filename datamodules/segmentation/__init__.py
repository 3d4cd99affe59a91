"""Images with label maps in nnU-Net's raw layout."""

from datamodules.segmentation.datamodule import SegmentationDataModule
from datamodules.segmentation.phantom import SegmentationPhantomDataModule, SlicesPhantomDataModule

__all__ = ["SegmentationDataModule", "SegmentationPhantomDataModule", "SlicesPhantomDataModule"]
