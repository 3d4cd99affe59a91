"""DataModules, one for each layout on disk. They and the LightningModules meet in the batch (docs/reference.md)."""

from datamodules.fetal_heart import FetalHeartDataModule, FetalHeartPhantom
from datamodules.followup import FollowupDataModule, FollowupPhantomDataModule
from datamodules.hematoma import CutSlicesDataModule, HematomaScansDataModule, HematomaSlicesDataModule
from datamodules.liver import LiverCohortDataModule
from datamodules.medmnist import MedMNISTDataModule
from datamodules.medmnist_phantom import MedMNISTPhantomDataModule
from datamodules.npz import NPZDataModule
from datamodules.phantoms.head import HeadPhantom
from datamodules.phantoms.liver import LiverPhantom, LiverPictures
from datamodules.segmentation import (
    PatientFoldersDataModule,
    PicturesPhantomDataModule,
    SegmentationDataModule,
    SegmentationPhantomDataModule,
    SlicesPhantomDataModule,
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
    "FollowupPhantomDataModule",
    "HeadPhantom",
    "HematomaScansDataModule",
    "HematomaSlicesDataModule",
    "ImageSource",
    "LiverCohortDataModule",
    "LiverPhantom",
    "LiverPictures",
    "MedMNISTDataModule",
    "MedMNISTPhantomDataModule",
    "NPZDataModule",
    "PatientFoldersDataModule",
    "PicturesPhantomDataModule",
    "SegmentationDataModule",
    "SegmentationPhantomDataModule",
    "SlicesPhantomDataModule",
    "TableDataModule",
    "UnlabelledDataModule",
    "UnpairedFoldersDataModule",
]
