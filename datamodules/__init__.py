"""DataModules, one for each layout on disk. They and the LightningModules meet in the batch (docs/reference.md)."""

from datamodules.fetal_heart import FetalHeartDataModule, FetalHeartPhantom
from datamodules.followup import FollowupDataModule
from datamodules.hematoma import CutSlicesDataModule, HematomaScansDataModule, HematomaSlicesDataModule
from datamodules.image_folder import ImageFolderDataModule
from datamodules.liver import LiverCohortDataModule
from datamodules.medmnist import MedMNISTDataModule, MedMNISTPhantomDataModule
from datamodules.npz import NPZDataModule
from datamodules.phantoms.head import HeadPhantom, HeadPictures, HeadScans
from datamodules.phantoms.liver import LiverPhantom, LiverPictures
from datamodules.segmentation import (
    PatientFoldersDataModule,
    SegmentationDataModule,
    UnpairedFoldersDataModule,
)
from datamodules.table import FetalHeartTable, TableDataModule
from datamodules.unlabelled import ImageSource, UnlabelledDataModule

__all__ = [
    "CutSlicesDataModule",
    "FetalHeartDataModule",
    "FetalHeartPhantom",
    "FetalHeartTable",
    "FollowupDataModule",
    "HeadPhantom",
    "HeadPictures",
    "HeadScans",
    "HematomaScansDataModule",
    "HematomaSlicesDataModule",
    "ImageFolderDataModule",
    "ImageSource",
    "LiverCohortDataModule",
    "LiverPhantom",
    "LiverPictures",
    "MedMNISTDataModule",
    "MedMNISTPhantomDataModule",
    "NPZDataModule",
    "PatientFoldersDataModule",
    "SegmentationDataModule",
    "TableDataModule",
    "UnlabelledDataModule",
    "UnpairedFoldersDataModule",
]
