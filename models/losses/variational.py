"""Terms of an evidence lower bound, in nats for each image."""

import math

import torch
from torch import Tensor

__all__ = ["draw", "gaussian_error", "kl_to_normal"]


def draw(mean: Tensor, log_variance: Tensor) -> Tensor:
    """One sample of each Gaussian, with a gradient to mean and spread (Kingma and Welling 2014, section 2.4)."""
    return mean + (log_variance / 2).exp() * torch.randn_like(mean)


def kl_to_normal(
    mean: Tensor, log_variance: Tensor, prior_variance: float = 1.0, *, variance: Tensor | None = None
) -> Tensor:
    """Kullback-Leibler divergence of diagonal Gaussians from N(0, prior_variance), in nats.

    Args:
        mean: (B, ...).
        log_variance: (B, ...).
        prior_variance: Of every coordinate, above 0.
        variance: (B, ...); give it where it is known exactly. None computes it from `log_variance`.

    Returns:
        (B,) sums over coordinates, at least 0.
    """
    variance = log_variance.exp() if variance is None else variance
    scaled = (variance + mean.square()) / prior_variance
    return 0.5 * (scaled - 1 - log_variance + math.log(prior_variance)).flatten(1).sum(1)


def gaussian_error(prediction: Tensor, image: Tensor, sigma: float, mask: Tensor | None = None) -> Tensor:
    """Negative log-likelihood of images under N(prediction, sigma²), without the constant.

    Args:
        prediction: (B, C, *spatial) means.
        image: (B, C, *spatial).
        sigma: Standard deviation of a pixel, in the unit of the image.
        mask: (B, 1, *spatial), above 0 where pixels count; all do if none. An empty one gives 0.

    Returns:
        (B,) sums over pixels.
    """
    squared = (prediction - image).square()
    if mask is not None:
        squared = squared * (mask > 0)
    return squared.flatten(1).sum(1) / (2 * sigma**2)
