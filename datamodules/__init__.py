"""DataModules, one for each layout on disk. They and the LightningModules meet in the batch (docs/reference.md)."""

from datamodules.fetal_heart.datamodule import FetalHeartDataModule
from datamodules.followup.datamodule import FollowupDataModule
from datamodules.hematoma.cut_slices import CutSlicesDataModule
from datamodules.hematoma.scans import HematomaScansDataModule
from datamodules.hematoma.slices import HematomaSlicesDataModule
from datamodules.image_folder import ImageFolderDataModule
from datamodules.liver import LiverCohortDataModule
from datamodules.medmnist import MedMNISTDataModule, MedMNISTPhantomDataModule
from datamodules.npz import NPZDataModule
from datamodules.phantoms.fetal_heart import FetalHeartPhantom
from datamodules.phantoms.fetal_heart.table import FetalHeartTable
from datamodules.phantoms.head import HeadPhantom, HeadPictures, HeadScans
from datamodules.phantoms.liver import LiverPhantom, LiverPictures
from datamodules.segmentation.datamodule import SegmentationDataModule
from datamodules.segmentation.folders import PatientFoldersDataModule
from datamodules.segmentation.unpaired import UnpairedFoldersDataModule
from datamodules.table.datamodule import TableDataModule
from datamodules.unlabelled.datamodule import UnlabelledDataModule
from datamodules.unlabelled.source import ImageSource

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
