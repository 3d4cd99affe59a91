"""Pad and crop images of any size for networks whose strides must divide their sides."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

__all__ = ["crop", "crop_logits", "pad_to_multiple"]


def pad_to_multiple(x: Tensor, multiple: Sequence[int]) -> Tensor:
    """Pad (B, C, *spatial) with zeros at the end of each axis to the next multiple."""
    gaps = [-side % by for side, by in zip(x.shape[2:], multiple, strict=True)]
    return F.pad(x, [amount for gap in reversed(gaps) for amount in (0, gap)]) if any(gaps) else x


def crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """Crop (B, C, *spatial) to (B, C, *size), keeping the start of each axis."""
    return x[(slice(None), slice(None), *(slice(side) for side in size))]


def crop_logits(logits: list[Tensor], size: Sequence[int]) -> list[Tensor]:
    """Crop padded multi-scale logits, full resolution first, to an image of `size`."""
    full = logits[0].shape[2:]
    cropped = []
    for each in logits:
        sides = [-(-side * here // whole) for side, here, whole in zip(size, each.shape[2:], full, strict=True)]
        cropped.append(crop(each, sides))
    return cropped
