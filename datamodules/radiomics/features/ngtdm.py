"""Neighbourhood grey-tone differences: 5 features (Amadasun and King 1989; pyradiomics; IBSI manual, 3.10)."""

import numpy as np

from medzoo.datamodules.radiomics.neighbours import Neighbours, directions
from medzoo.datamodules.radiomics.settings import Definition

__all__ = ["NGTDM", "ngtdm"]

NGTDM = ("Coarseness", "Contrast", "Busyness", "Complexity", "Strength")


def ngtdm(neighbours: Neighbours, definition: Definition) -> np.ndarray:
    """Features of each image.

    Returns:
        (N, 5) in the order of `NGTDM`; NaN after a division by zero, as in all but Complexity with a single level.
    """
    n, s = _table(neighbours, definition)
    level = np.arange(1, n.shape[1] + 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = n / n.sum(1, keepdims=True)
        voxels, present, difference = n.sum(1), (n > 0).sum(1), s.sum(1)
        both = (p[:, :, None] > 0) & (p[:, None] > 0)
        apart = np.abs(level[:, None] - level)
        together = p[:, :, None] + p[:, None]
        weighted = p * s
        sums = weighted[:, :, None] + weighted[:, None]
        gap = np.where(both, np.abs((level * p)[:, :, None] - (level * p)[:, None]), 0.0).sum((1, 2))
        variance = (p * (level - (p @ level)[:, None]) ** 2).sum(1)
        contrast = 2 * variance / (present * (present - 1)) * difference / voxels  # of all pairs of levels
        complexity = (np.where(both, sums / together, 0.0) * apart).sum((1, 2)) / voxels
        strength = np.where(both, together * apart**2, 0.0).sum((1, 2)) / difference
        coarseness, busyness = 1 / weighted.sum(1), weighted.sum(1) / gap
    features = np.stack([coarseness, contrast, busyness, complexity, strength], axis=1)
    return np.where(np.isfinite(features), features, np.nan)


def _table(neighbours: Neighbours, definition: Definition) -> tuple[np.ndarray, np.ndarray]:
    """(N, levels) counts of voxels, and sums of their distances to the mean level of their neighbours.

    A voxel without neighbours counts with distance 0 in pyradiomics; IBSI excludes it.
    """
    regions, levels = neighbours.regions, neighbours.levels
    total, around = np.zeros(len(levels), int), np.zeros(len(levels), int)
    for step in directions(regions.dims):
        for way in (step, tuple(-part for part in step)):
            beside = neighbours.beside(way)
            total += beside
            around += beside > 0
    distance = np.where(around > 0, np.abs(levels - total / np.maximum(around, 1)), 0.0)
    counted = np.ones(len(levels)) if definition == "pyradiomics" else (around > 0).astype(float)
    depth, count = int(levels.max()), len(regions.counts)
    keys = regions.image * depth + levels - 1
    n, s = (np.bincount(keys, weights, count * depth).reshape(count, depth) for weights in (counted, distance))
    return n, s
