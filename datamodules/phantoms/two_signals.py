"""A bright lesion in tissue with a brightness slope: one signal of the label inside the lesion's mask, one outside.

Causal model. Each image has a lesion size u and a slope s of the tissue along the first axis, both uniform on
[0, 1], and nuisances (position, brightness of lesion and tissue, shape, waves, noise) that do not affect the label:

    P(positive) = sigmoid(6 (u - 0.5) + 6 (s - 0.5))

The lesion is brighter than all tissue, so Otsu's mask is the lesion. Radiomics of the mask measure the size but
not the slope; a network that sees the image can measure both. A classifier that uses only the size, or only the
slope, cannot exceed an AUC of 0.776; one that uses both cannot exceed 0.899.

Two variants put the penalty of a radiomics VAE to the test. In `two_signals_outside` the slope matters five times as
much (weights 2 and 10), so little of the label is inside the mask: 0.565 by the size, 0.931 by the slope, 0.937 by
both. In `two_signals_shared` size and slope correlate by 0.8 (a Gaussian copula), so most of what the image adds is
also in the radiomics, and is what a penalty removes: 0.920 by either, 0.948 by both.
"""

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import expit
from scipy.stats import norm

__all__ = ["CLASS_NAMES", "lesion_image", "two_signals", "two_signals_phantom"]

CLASS_NAMES = ("negative", "positive")


def two_signals(count: int, seed: int, correlation: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Lesion size and slope of the images that `two_signals_phantom` draws with this seed, (count,) each."""
    size, slope = np.random.default_rng(seed).uniform(size=(2, count))
    if correlation:
        own = np.sqrt(1 - correlation**2) * norm.ppf(slope)
        slope = norm.cdf(correlation * norm.ppf(size) + own)
    return size, slope


def two_signals_phantom(
    count: int,
    *,
    size: int = 28,
    seed: int = 0,
    spatial_dims: int = 2,
    weights: tuple[float, float] = (6.0, 6.0),
    correlation: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw images.

    Args:
        count: Number of images.
        size: Edge in pixels.
        seed: Seed; the same seed gives the same images.
        spatial_dims: 2 or 3.
        weights: Of size and slope in the log odds of the label.
        correlation: Of size and slope, of their normal scores.

    Returns:
        Images (count, *spatial) uint8, labels (count, 1) uint8, and the true probability of label 1 (count,).
    """
    lesion, slope = two_signals(count, seed, correlation)
    rng = np.random.default_rng((seed, spatial_dims))
    probability = expit(weights[0] * (lesion - 0.5) + weights[1] * (slope - 0.5))
    labels = rng.uniform(size=count) < probability
    images = np.stack([lesion_image(rng, size, spatial_dims, u, s) for u, s in zip(lesion, slope, strict=True)])
    return images, labels[:, None].astype(np.uint8), probability


def lesion_image(rng: np.random.Generator, size: int, dims: int, lesion: float | None, slope: float) -> np.ndarray:
    """One image (*spatial) uint8: a lesion of size `lesion` in [0, 1], or None, in tissue with a slope in [0, 1]."""
    place = (np.indices((size,) * dims) + 0.5) / size - 0.5
    waves = gaussian_filter(rng.normal(size=(size,) * dims), 0.12 * size)
    tissue = rng.uniform(0.28, 0.36) + 0.5 * (slope - 0.5) * place[0] + 0.04 * waves / waves.std()
    centre = rng.uniform(-0.14, 0.14, size=dims).reshape(-1, *(1,) * dims)
    stretch = rng.uniform(0.85, 1.15, size=dims).reshape(-1, *(1,) * dims)
    distance = np.sqrt((((place - centre) * stretch) ** 2).sum(0))
    inside = expit((0.14 + 0.16 * (lesion or 0.0) - distance) * size * 2.0)
    inside = np.zeros_like(inside) if lesion is None else inside
    image = tissue * (1 - inside) + rng.uniform(0.78, 0.88) * inside + rng.normal(scale=0.015, size=tissue.shape)
    return np.clip(255 * image, 0, 255).astype(np.uint8)
