"""Random augmentation of batches, and of patches with their label maps; corruption for restoration."""

from medzoo.datamodules.transforms.augment import BatchAugment
from medzoo.datamodules.transforms.genesis import GenesisCorruption
from medzoo.datamodules.transforms.nnunet import NNUNetAugment

__all__ = ["BatchAugment", "GenesisCorruption", "NNUNetAugment"]
