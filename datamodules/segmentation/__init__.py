"""Images with label maps: volumes in nnU-Net's raw layout or in a folder for each patient, and pictures."""

from datamodules.segmentation.datamodule import SegmentationDataModule
from datamodules.segmentation.folders import PatientFoldersDataModule
from datamodules.segmentation.unpaired import UnpairedFoldersDataModule

__all__ = ["PatientFoldersDataModule", "SegmentationDataModule", "UnpairedFoldersDataModule"]
