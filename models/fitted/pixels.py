"""Regressions on the pixels of an image and on their principal components: what a learnt code has to beat."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from medzoo.models.fitted.part import ExactPart

__all__ = ["PixelProbes", "pixels_of"]

SIDES = {2: 28, 3: 14}  # by number of axes; larger images are averaged down to it


def pixels_of(image: Tensor) -> Tensor:
    """(B, P) pixels of images (B, C, *spatial), at most 28 along each axis of an image and 14 of a volume."""
    size: Any = [min(SIDES[image.ndim - 2], side) for side in image.shape[2:]]
    pool: Any = F.adaptive_avg_pool3d if len(size) == 3 else F.adaptive_avg_pool2d
    pooled: Tensor = pool(image.double(), size)
    return pooled.flatten(1)


class PixelProbes(ExactPart):
    """S regressions on pixels and features, and the principal components of pixels.

    Numbers that `evaluation.scores.representations` gives: `weight` and `bias` by `fit_pixel_probes`, `centre` and
    `axes` by `principal_axes`, which are empty in older checkpoints.
    """

    weight: Tensor
    bias: Tensor
    centre: Tensor
    axes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare("weight", "bias", "centre", "axes")

    def components(self, image: Tensor) -> Tensor:
        """Principal components (B, C), of unit variance in training, of images (B, C, *spatial)."""
        return (pixels_of(image) - self.centre) @ self.axes.T

    def forward(self, image: Tensor, features: Tensor) -> Tensor:
        """Probabilities (B, S, K) of images (B, C, *spatial) with features (B, F)."""
        rows = torch.cat([pixels_of(image), features.double()], 1)
        return (torch.einsum("skf,bf->bsk", self.weight, rows) + self.bias).softmax(-1)
