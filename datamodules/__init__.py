"""DataModules, one for each layout on disk. They share only the batch with LightningModules (docs/reference.md)."""

from medzoo.datamodules.fetal_heart.datamodule import FetalHeartDataModule
from medzoo.datamodules.followup.datamodule import FollowupDataModule
from medzoo.datamodules.hematoma.cut_slices import CutSlicesDataModule
from medzoo.datamodules.hematoma.scans import HematomaScansDataModule
from medzoo.datamodules.hematoma.slices import HematomaSlicesDataModule
from medzoo.datamodules.images.folder import ImageFolderDataModule
from medzoo.datamodules.images.medmnist import MedMNISTDataModule, MedMNISTPhantomDataModule
from medzoo.datamodules.images.npz import NPZDataModule
from medzoo.datamodules.liver import LiverCohortDataModule
from medzoo.datamodules.phantoms.fetal_heart import FetalHeartPhantom
from medzoo.datamodules.phantoms.fetal_heart.table import FetalHeartTable
from medzoo.datamodules.phantoms.head import HeadPhantom, HeadPictures, HeadScans
from medzoo.datamodules.phantoms.liver import LiverPhantom, LiverPictures
from medzoo.datamodules.segmentation.datamodule import SegmentationDataModule
from medzoo.datamodules.segmentation.folders import PatientFoldersDataModule
from medzoo.datamodules.segmentation.unpaired import UnpairedFoldersDataModule
from medzoo.datamodules.table.datamodule import TableDataModule
from medzoo.datamodules.unlabelled.datamodule import UnlabelledDataModule
from medzoo.datamodules.unlabelled.source import ImageSource

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
