"""Tissue with a brightness slope, and a bright lesion in half of the images: shared and salient factors of variation.

Causal model. Each image has a slope s of the tissue along the first axis, uniform on [0, 1], and with probability
1/2 a lesion of size u, uniform on [0, 1]; nuisances as in `two_signals`. The label is whether there is a lesion.
So latents that encode the lesion can reach an AUC of 1, and latents that encode only the slope reach 0.5.
"""

import numpy as np

from medzoo.datamodules.phantoms.two_signals import lesion_image

__all__ = ["CLASS_NAMES", "lesion_or_none", "lesion_or_none_phantom"]

CLASS_NAMES = ("none", "lesion")


def lesion_or_none(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, lesion sizes and slopes (count,) each, as `lesion_or_none_phantom` draws them with this seed."""
    labels, size, slope = np.random.default_rng(seed).uniform(size=(3, count))
    return labels < 0.5, size, slope


def lesion_or_none_phantom(count: int, *, size: int = 28, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw images.

    Args:
        count: Number of images.
        size: Edge in pixels.
        seed: Seed; the same seed gives the same images.

    Returns:
        Images (count, size, size) uint8, labels (count, 1) uint8 with 1 = lesion, and the labels as probabilities.
    """
    labels, lesion, slope = lesion_or_none(count, seed)
    rng = np.random.default_rng((seed, 2))
    rows = zip(labels, lesion, slope, strict=True)
    images = np.stack([lesion_image(rng, size, 2, u if label else None, s) for label, u, s in rows])
    return images, labels[:, None].astype(np.uint8), labels.astype(float)
