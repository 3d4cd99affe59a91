"""Layers of tissue painted over one another, with soft edges that stand for partial volume."""

import numpy as np
from scipy.special import expit

__all__ = ["paint"]


def paint(hu: np.ndarray, layers: tuple[tuple[float, np.ndarray], ...], soft: float) -> np.ndarray:
    """Lay HU over one another, each inside its signed distance (n,)."""
    for value, distance in layers:
        near = distance < 8 * soft
        hu[near] += (value - hu[near]) * expit(-distance[near] / soft)
    return hu
