"""Masks of a forecast, given another volume."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["resized"]

_LEAST, _MOST = 1e-30, 1 - 1e-7  # probabilities whose logits float32 tells apart
_STEP = 1e-3  # of logits, across the border of a bleed


def resized(probability: Tensor, voxels: Tensor, bleed: Tensor) -> Tensor:
    """Shift the logits of each sample so that a given number of voxels exceeds one half.

    The most probable voxels are taken, of those within so many layers of the baseline's bleed as hold twice the wanted
    number: a bleed grows around itself, and not in places apart from it that are a little more probable than others.

    Args:
        probability: (N, S, H, W) in [0, 1].
        voxels: (N,) wanted numbers, at least 0.
        bleed: (S, H, W) bool, the bleed at baseline.

    Returns:
        (N, S, H, W). Where voxels are tied, fewer than wanted may exceed one half.
    """
    logits = probability.clamp(_LEAST, _MOST).double().logit()
    return torch.stack([_shifted(one, int(count), bleed) for one, count in zip(logits, voxels, strict=True)]).to(
        probability
    )


def _shifted(logits: Tensor, count: int, bleed: Tensor) -> Tensor:
    near = bleed if bleed.any() else torch.ones_like(bleed)
    while near.sum() < min(2 * count, near.numel()):
        near = F.max_pool3d(near[None].float(), 3, stride=1, padding=1)[0] > 0
    falling = logits[near].sort(descending=True).values
    if count <= 0:
        threshold = (falling[0] + _STEP).clamp(min=0)
    elif count >= len(falling):
        threshold = (falling[-1] - _STEP).clamp(max=0)
    else:
        threshold = falling[count - 1 : count + 1].mean()
    return torch.where(near, logits - threshold, logits.clamp(max=-_STEP)).sigmoid()
