"""Resample and crop arrays."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from medzoo.datamodules.segmentation.plan import ANISOTROPY

__all__ = ["corner_around", "corner_at_random", "crop", "padded", "random_crop", "resample"]


def resample(image: Tensor, size: Sequence[int], spacing: Sequence[float]) -> Tensor:
    """Resample (C, *spatial) float to (C, *size), linearly; thick slices are not mixed, as in nnU-Net."""
    if list(image.shape[1:]) == list(size):
        return image
    mode = "trilinear" if len(size) == 3 else "bilinear"
    if len(size) == 3 and spacing[0] > ANISOTROPY * max(spacing[1:]):
        image = F.interpolate(image[None], (image.shape[1], *size[1:]), mode=mode)[0]
        return F.interpolate(image[None], tuple(size), mode="nearest-exact")[0]
    return F.interpolate(image[None], tuple(size), mode=mode)[0]


def crop(array: Any, corner: Sequence[int], patch: Sequence[int]) -> np.ndarray:
    """Crop (C, *spatial) to (C, *patch) from a corner on, padding with zeros outside."""
    return padded(array, corner, patch)


def random_crop(array: Any, patch: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Crop at a random corner; a smaller array is placed at random inside the patch."""
    return crop(array, corner_at_random(array.shape[1:], patch, rng), patch)


def padded(
    array: Any, corner: Sequence[int], patch: Sequence[int], change: Callable[[Any], np.ndarray] = np.array
) -> np.ndarray:
    """Crop the last axes of an array, apply `change` to what lies inside, and pad with zeros."""
    size = array.shape[-len(patch) :]
    inside = [slice(max(at, 0), min(at + side, n)) for at, side, n in zip(corner, patch, size, strict=True)]
    gaps = [(max(-at, 0), max(at + side - n, 0)) for at, side, n in zip(corner, patch, size, strict=True)]
    cut = change(array[(..., *inside)])
    return np.pad(cut, [(0, 0)] * (cut.ndim - len(gaps)) + gaps) if any(map(sum, gaps)) else cut


def corner_at_random(size: Sequence[int], patch: Sequence[int], rng: np.random.Generator) -> list[int]:
    """First voxel of a patch; an image smaller than the patch is placed at random inside it."""
    return [int(rng.integers(low, high + 1)) for low, high in _ends(size, patch)]


def corner_around(middle: Sequence[int], size: Sequence[int], patch: Sequence[int]) -> list[int]:
    """First voxel of the patch around a voxel, moved inside the image."""
    ends = _ends(size, patch)
    return [min(max(int(at) - side // 2, low), high) for at, side, (low, high) in zip(middle, patch, ends, strict=True)]


def _ends(size: Sequence[int], patch: Sequence[int]) -> list[list[int]]:
    return [sorted((0, n - side)) for n, side in zip(size, patch, strict=True)]
