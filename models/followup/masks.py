"""Masks of a forecast, given another volume."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["resized"]

_LEAST, _MOST = 1e-30, 1 - 1e-7  # probabilities whose logits float32 tells apart
_STEP = 1e-3  # of logits, across the border of a bleed


def resized(probability: Tensor, voxels: Tensor) -> Tensor:
    """Shift the logits of each sample so that a given number of voxels exceeds one half.

    A bleed shrinks to its most probable voxels. It grows into the most probable voxels around it, as many layers of
    neighbours as are needed: never to places apart from it, which are a little more probable than others everywhere.

    Args:
        probability: (N, S, H, W) in [0, 1].
        voxels: (N,) wanted numbers, at least 0.

    Returns:
        (N, S, H, W). Where voxels are tied, fewer than wanted may exceed one half.
    """
    logits = probability.clamp(_LEAST, _MOST).double().logit()
    return torch.stack([_shifted(one, int(count)) for one, count in zip(logits, voxels, strict=True)]).to(probability)


def _shifted(logits: Tensor, count: int) -> Tensor:
    near = logits > 0
    while near.any() and near.sum() < min(count, near.numel()):
        near = F.max_pool3d(near[None].float(), 3, stride=1, padding=1)[0] > 0
    near = near if near.any() else torch.ones_like(near)
    falling = logits[near].sort(descending=True).values
    if count <= 0:
        threshold = (falling[0] + _STEP).clamp(min=0)
    elif count >= len(falling):
        threshold = (falling[-1] - _STEP).clamp(max=0)
    else:
        threshold = falling[count - 1 : count + 1].mean()
    return torch.where(near, logits - threshold, logits.clamp(max=-_STEP)).sigmoid()
