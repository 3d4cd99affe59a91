"""Adrenal-gland-like binary shapes, normal or hyperplastic.

Causal model. Each gland has a limb thickness t, uniform on [0, 1] (2.5 to 6 mm at a 28-voxel, 70 mm field), and
nuisances (angle between the limbs, their length, tilt and rotation, side) that do not affect the label:

    P(hyperplasia) = sigmoid(10 (t - 0.65))

No classifier of the shapes can beat the AUC of these probabilities, so they are returned with the labels.
"""

import numpy as np
from scipy.special import expit

__all__ = ["adrenal_phantom"]

CLASS_NAMES = ("normal", "hyperplasia")


def adrenal_phantom(count: int, *, size: int = 28, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw glands: a body with two limbs, like an inverted Y that runs along the first axis.

    Args:
        count: Number of volumes.
        size: Edge in voxels.
        seed: Seed; the same seed gives the same volumes.

    Returns:
        Volumes (count, size, size, size) uint8 of 0 and 255, labels (count, 1) uint8 with 1 = hyperplasia, and the
        true probability of hyperplasia (count,).
    """
    rng = np.random.default_rng(seed)
    thickness = rng.uniform(size=count)
    probability = expit(10 * (thickness - 0.65))
    labels = rng.uniform(size=count) < probability
    volumes = np.stack([_gland(rng, size, t) for t in thickness])
    return volumes, labels[:, None].astype(np.uint8), probability


def _gland(rng: np.random.Generator, size: int, thickness: float) -> np.ndarray:
    z, y, x = (np.mgrid[0:size, 0:size, 0:size] + 0.5) / size - 0.5
    tilt = rng.uniform(-0.4, 0.4, size=2)
    y, x = y - tilt[0] * z, (x - tilt[1] * z) * rng.choice([-1, 1])
    turn = rng.uniform(-0.7, 0.7)
    y, x = y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)
    radius = (2.5 + 3.5 * thickness) / 70
    spread = rng.uniform(0.35, 0.6)
    taper = 1 - 0.8 * np.abs(z / rng.uniform(0.36, 0.46)) ** 2  # limbs thin out towards both ends
    distance = np.full(z.shape, np.inf)
    for turn in (-spread, spread * rng.uniform(0.7, 1.0)):
        length = rng.uniform(0.3, 0.42)
        distance = np.minimum(distance, _to_segment(y + 0.15, x, length * np.cos(turn), length * np.sin(turn)))
    distance = np.minimum(distance, _to_segment(y + 0.15, x, -0.1, 0.0))
    wobble = 0.006 * np.sin(2 * np.pi * (2 * z + rng.uniform())) * np.cos(2 * np.pi * (2 * y + rng.uniform()))
    return np.where(distance + wobble < radius * taper, 255, 0).astype(np.uint8)


def _to_segment(y: np.ndarray, x: np.ndarray, end_y: float, end_x: float) -> np.ndarray:
    """Distance from each point to the segment from the origin to (end_y, end_x)."""
    along = np.clip((y * end_y + x * end_x) / (end_y**2 + end_x**2), 0, 1)
    return np.hypot(y - along * end_y, x - along * end_x)
