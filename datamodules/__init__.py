"""DataModules, one for each layout on disk. They and the LightningModules meet in the batch (docs/reference.md)."""

from datamodules.fetal_heart import FetalHeartDataModule, FetalHeartPhantom
from datamodules.followup import FollowupDataModule, FollowupPhantomDataModule
from datamodules.hematoma import CutSlicesDataModule, HematomaScansDataModule, HematomaSlicesDataModule
from datamodules.liver import LiverCohortDataModule
from datamodules.medmnist import MedMNISTDataModule
from datamodules.medmnist_phantom import MedMNISTPhantomDataModule
from datamodules.npz import NPZDataModule
from datamodules.phantoms.head import HeadPhantom
from datamodules.phantoms.liver import LiverPhantom
from datamodules.segmentation import SegmentationDataModule, SegmentationPhantomDataModule, SlicesPhantomDataModule

__all__ = [
    "CutSlicesDataModule",
    "FetalHeartDataModule",
    "FetalHeartPhantom",
    "FollowupDataModule",
    "FollowupPhantomDataModule",
    "HeadPhantom",
    "HematomaScansDataModule",
    "HematomaSlicesDataModule",
    "LiverCohortDataModule",
    "LiverPhantom",
    "MedMNISTDataModule",
    "MedMNISTPhantomDataModule",
    "NPZDataModule",
    "SegmentationDataModule",
    "SegmentationPhantomDataModule",
    "SlicesPhantomDataModule",
]
