"""A bright lesion in tissue with a brightness slope: one signal of the label inside the lesion's mask, one outside.

Causal model. Each image has a lesion size u and a slope s of the tissue along the first axis, both uniform on
[0, 1], and nuisances (position, brightness of lesion and tissue, shape, waves, noise) that do not affect the label:

    P(positive) = sigmoid(6 (u - 0.5) + 6 (s - 0.5))

The lesion is brighter than all tissue, so Otsu's mask is the lesion. Radiomics of the mask measure the size but
not the slope; a network that sees the image can measure both. A classifier that uses only the size, or only the
slope, cannot exceed an AUC of 0.776; one that uses both cannot exceed 0.899.
"""

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import expit

__all__ = ["CLASS_NAMES", "lesion_image", "two_signals", "two_signals_phantom"]

CLASS_NAMES = ("negative", "positive")


def two_signals(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lesion size and slope of the images that `two_signals_phantom` draws with this seed, (count,) each."""
    size, slope = np.random.default_rng(seed).uniform(size=(2, count))
    return size, slope


def two_signals_phantom(
    count: int, *, size: int = 28, seed: int = 0, spatial_dims: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw images.

    Args:
        count: Number of images.
        size: Edge in pixels.
        seed: Seed; the same seed gives the same images.
        spatial_dims: 2 or 3.

    Returns:
        Images (count, *spatial) uint8, labels (count, 1) uint8, and the true probability of label 1 (count,).
    """
    lesion, slope = two_signals(count, seed)
    rng = np.random.default_rng((seed, spatial_dims))
    probability = expit(6 * (lesion - 0.5) + 6 * (slope - 0.5))
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
