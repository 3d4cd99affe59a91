"""Transforms that act on whole batches of tensors."""

from datamodules.transforms.augment import BatchAugment

__all__ = ["BatchAugment"]
