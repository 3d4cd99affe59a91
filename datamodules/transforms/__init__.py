"""Random augmentation of whole batches and of single patches with their label maps; corruption to learn from."""

from medzoo.datamodules.transforms.augment import BatchAugment
from medzoo.datamodules.transforms.genesis import GenesisCorruption
from medzoo.datamodules.transforms.nnunet import NNUNetAugment

__all__ = ["BatchAugment", "GenesisCorruption", "NNUNetAugment"]
