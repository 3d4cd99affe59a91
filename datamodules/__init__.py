"""DataModules, one for each layout on disk. They and the LightningModules meet in the batch (docs/reference.md)."""

from datamodules.followup import FollowupDataModule, FollowupPhantomDataModule
from datamodules.hematoma import HematomaSlicesDataModule, HematomaSlicesPhantomDataModule
from datamodules.medmnist import MedMNISTDataModule
from datamodules.medmnist_phantom import MedMNISTPhantomDataModule
from datamodules.npz import NPZDataModule
from datamodules.segmentation import SegmentationDataModule, SegmentationPhantomDataModule

__all__ = [
    "FollowupDataModule",
    "FollowupPhantomDataModule",
    "HematomaSlicesDataModule",
    "HematomaSlicesPhantomDataModule",
    "MedMNISTDataModule",
    "MedMNISTPhantomDataModule",
    "NPZDataModule",
    "SegmentationDataModule",
    "SegmentationPhantomDataModule",
]
