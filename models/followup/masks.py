"""Masks of a forecast, given another volume."""

import torch
from torch import Tensor

__all__ = ["resized"]

_LEAST, _MOST = 1e-30, 1 - 1e-7  # probabilities whose logits float32 tells apart


def resized(probability: Tensor, voxels: Tensor) -> Tensor:
    """Shift the logits of each sample so that a given number of voxels exceeds one half.

    Voxels keep their order, so a bleed grows and shrinks along its own blurred edge.

    Args:
        probability: (N, S, H, W) in [0, 1].
        voxels: (N,) wanted numbers, at least 0.

    Returns:
        (N, S, H, W). Where voxels are tied, fewer than wanted may exceed one half.
    """
    logits = probability.clamp(_LEAST, _MOST).double().logit()
    return torch.stack([_shifted(one, int(count)) for one, count in zip(logits, voxels, strict=True)]).to(probability)


def _shifted(logits: Tensor, count: int) -> Tensor:
    falling = logits.flatten().sort(descending=True).values
    if count <= 0:
        threshold = falling[0] + 1
    elif count >= len(falling):
        threshold = falling[-1] - 1
    else:
        threshold = falling[count - 1 : count + 1].mean()
    return (logits - threshold).sigmoid()
