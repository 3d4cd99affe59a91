"""A score of an image by a trained autoencoder: larger the less the image resembles a normal heart."""

from typing import Literal

import torch
from torch import Tensor

from medzoo.models.fitted.part import ExactPart

__all__ = ["ImageScore", "ScoreKind"]

ScoreKind = Literal["probe", "mahalanobis", "reconstruction"]


class ImageScore(ExactPart):
    """A score of latents and errors; its parameters are fitted after training and stored in double precision.

    - `probe`: log odds by a logistic regression on the latent, weight . mean + bias;
    - `mahalanobis`: distance of the latent from the normal ones, sqrt((mean - centre)' precision (mean - centre));
    - `reconstruction`: error of the image, root of the mean square.

    Args:
        kind: One of the above.
        latent: Numbers in the latent.
    """

    weight: Tensor
    bias: Tensor
    centre: Tensor
    precision: Tensor

    def __init__(self, kind: ScoreKind, latent: int) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("weight", torch.zeros(latent, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros((), dtype=torch.float64))
        self.register_buffer("centre", torch.zeros(latent, dtype=torch.float64))
        self.register_buffer("precision", torch.eye(latent, dtype=torch.float64))

    def forward(self, mean: Tensor, error: Tensor) -> Tensor:
        """(B,) in double precision, of latents (B, L) and mean squared errors (B,)."""
        if self.kind == "reconstruction":
            return error.to(self.device).double().sqrt()
        mean = mean.to(self.device).double()
        if self.kind == "probe":
            return mean @ self.weight + self.bias
        away = mean - self.centre
        return torch.einsum("bi,ij,bj->b", away, self.precision, away).clamp_min(1e-12).sqrt()
