"""Paint layers of tissue over one another, with soft edges that imitate partial volume."""

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

__all__ = ["paint"]


def paint(image: np.ndarray, layers: Sequence[tuple[float | Sequence[float], np.ndarray]], soft: float) -> np.ndarray:
    """Paint tissues over one another, each where its signed distance (n,) is negative.

    Args:
        image: (n,), or (K, n) for K modalities; changed in place.
        layers: For each tissue its intensity (one for each modality, if there are several) and its signed distance.
        soft: Width of the edges, in units of the distance.

    Returns:
        The image.
    """
    for value, distance in layers:
        near = np.flatnonzero(distance < 8 * soft)
        level = np.asarray(value, image.dtype)[..., None]
        image[..., near] += (level - image[..., near]) * expit(-distance[near] / soft)
    return image
