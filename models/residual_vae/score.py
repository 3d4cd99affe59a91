"""One number for an image by a trained autoencoder: larger for what is less like a normal heart."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

__all__ = ["ImageScore", "ScoreKind"]

ScoreKind = Literal["probe", "mahalanobis", "reconstruction"]


class ImageScore(nn.Module):
    """A score of latents and errors; its numbers are fitted elsewhere and kept as state.

    - `probe`: log odds by a logistic regression on the latent, weight . mean + bias;
    - `mahalanobis`: distance of the latent from the normal ones, sqrt((mean - centre)' precision (mean - centre));
    - `reconstruction`: error of the image, root of the mean square.

    Args:
        kind: Which.
        latent: Numbers in the latent.
    """

    weight: Tensor
    bias: Tensor
    centre: Tensor
    precision: Tensor

    def __init__(self, kind: ScoreKind, latent: int) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("weight", torch.zeros(latent))
        self.register_buffer("bias", torch.zeros(()))
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("precision", torch.eye(latent))

    def take(self, **numbers: Any) -> None:
        """Take what was fitted: `weight` (L,) and `bias`, or `centre` (L,) and `precision` (L, L)."""
        for name, value in numbers.items():
            getattr(self, name).copy_(torch.as_tensor(value))

    def forward(self, mean: Tensor, error: Tensor) -> Tensor:
        """(B,) of latents (B, L) and mean squared errors (B,)."""
        if self.kind == "probe":
            return mean @ self.weight + self.bias
        if self.kind == "reconstruction":
            return error.sqrt()
        away = mean - self.centre
        return torch.einsum("bi,ij,bj->b", away, self.precision, away).clamp_min(1e-12).sqrt()
