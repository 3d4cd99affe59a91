"""Random augmentation of whole batches and of single patches with their label maps; corruption to learn from."""

from datamodules.transforms.augment import BatchAugment
from datamodules.transforms.genesis import GenesisCorruption
from datamodules.transforms.nnunet import NNUNetAugment

__all__ = ["BatchAugment", "GenesisCorruption", "NNUNetAugment"]
