"""Random augmentation: of whole batches of tensors, and of single patches with their label maps."""

from datamodules.transforms.augment import BatchAugment
from datamodules.transforms.nnunet import NNUNetAugment

__all__ = ["BatchAugment", "NNUNetAugment"]
