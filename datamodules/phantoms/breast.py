"""Breast-ultrasound-like images of one lesion, benign or malignant.

Causal model. Each lesion has an irregularity u and a shadowing s, both uniform on [0, 1], and nuisances (position,
size, brightness, speckle) that do not affect the label:

    P(malignant) = sigmoid(8 (u - 0.62) + 4 (s - 0.5))

Irregularity makes the margin lobed; shadowing brightens the tissue behind the lesion (below 0.5) or darkens it. No
classifier of the images can beat the AUC of these probabilities, so they are returned with the labels.
"""

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import expit

__all__ = ["breast_phantom"]

CLASS_NAMES = ("benign", "malignant")


def breast_phantom(count: int, *, size: int = 28, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw lesions.

    Args:
        count: Number of images.
        size: Edge in pixels.
        seed: Seed; the same seed gives the same images.

    Returns:
        Images (count, size, size) uint8, labels (count, 1) uint8 with 1 = malignant, and the true probability of
        malignancy (count,).
    """
    rng = np.random.default_rng(seed)
    irregularity, shadowing = rng.uniform(size=(2, count))
    probability = expit(8 * (irregularity - 0.62) + 4 * (shadowing - 0.5))
    labels = rng.uniform(size=count) < probability
    images = np.stack([_lesion(rng, size, u, s) for u, s in zip(irregularity, shadowing, strict=True)])
    return images, labels[:, None].astype(np.uint8), probability


def _lesion(rng: np.random.Generator, size: int, irregularity: float, shadowing: float) -> np.ndarray:
    """One image; depth runs down the first axis."""
    depth, across = np.mgrid[0:size, 0:size] / size
    centre = rng.uniform(0.38, 0.55), rng.uniform(0.4, 0.6)
    radius = rng.uniform(0.17, 0.24)
    down, right = depth - centre[0], across - centre[1]
    angle, distance = np.arctan2(down, right), np.hypot(down * rng.uniform(1.0, 1.4), right)
    lobes = sum(rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(3, 8))
    margin = radius * (1 + 0.42 * irregularity * lobes / lobes.std())
    inside = expit((margin - distance) * 40)
    behind = expit((0.8 * radius - np.abs(right)) * 40) * (down > 0)

    layers = 0.6 + 0.12 * _texture(rng, size, (0.05, 0.25)) + 0.25 * np.exp(-depth / 0.08)  # fat, gland, bright skin
    echo = np.clip(layers, 0.15, None) * (1 - 0.4 * depth) * rng.uniform(0.85, 1.15)
    echo = echo * (1 + behind * (1 - inside) * np.clip(down / 0.15, 0, 1) * (0.5 - shadowing) * 1.4)
    echo = echo * (1 - inside) + inside * rng.uniform(0.08, 0.16)
    speckle = 1 + 0.15 * _texture(rng, size, (0.02, 0.04))  # weak, since 28 pixels average most of it out
    return np.clip(255 * echo * speckle, 0, 255).astype(np.uint8)


def _texture(rng: np.random.Generator, size: int, grain: tuple[float, float]) -> np.ndarray:
    """Smooth noise of zero mean and unit spread; `grain` is a fraction of the image height and width."""
    noise = gaussian_filter(rng.normal(size=(size, size)), [size * edge for edge in grain])
    return (noise - noise.mean()) / noise.std()
