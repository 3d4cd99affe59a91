"""Classifier-free guidance whose correction is orthogonal to the conditional prediction.

Ho and Salimans 2022 (arXiv:2207.12598); leaving out the parallel part avoids over-saturation (Sadat et al. 2024,
arXiv:2410.02416). HemExp guides by the clinical vector only.
"""

import torch
from torch import Tensor

from medzoo.models.diffusion.samplers import Denoise

__all__ = ["guide", "guided"]


def guide(conditional: Tensor, null: Tensor, scale: float) -> Tensor:
    """Conditional prediction pushed away from the null prediction.

    Args:
        conditional: (B, ...) prediction with the condition.
        null: (B, ...) prediction without it.
        scale: 1 leaves the conditional prediction as it is, larger values stress the condition.

    Returns:
        conditional + (scale - 1) * (conditional - null), less the component of the difference along `conditional`
        (for each sample, over all its elements), in the type of `conditional`.
    """
    dtype = torch.promote_types(conditional.dtype, torch.float32)
    along = conditional.to(dtype).flatten(1)
    difference = along - null.to(dtype).flatten(1)
    length = along.square().sum(1, keepdim=True)
    share = (difference * along).sum(1, keepdim=True) / length.clamp_min(torch.finfo(dtype).tiny)
    pushed = along + (scale - 1) * (difference - share * along)
    return pushed.view_as(conditional).to(conditional.dtype)


def guided(conditional: Denoise, null: Denoise, scale: float) -> Denoise:
    """A denoiser for the samplers: one pass a step at scale 1 or 0, otherwise two.

    Args:
        conditional: Predicts with the condition.
        null: Predicts without it.
        scale: 1 is the conditional prediction, 0 the null prediction (the condition is ignored).

    Returns:
        The guided denoiser.
    """
    if scale == 1:
        return conditional
    if scale == 0:
        return null
    return lambda x, t: guide(conditional(x, t), null(x, t), scale)
