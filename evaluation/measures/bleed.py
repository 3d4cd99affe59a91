"""Signs of expansion measured on a baseline CT: how dense, even and regular a bleed is.

Continuous counterparts of what readers see on plain CT and CT angiography: heterogeneous density and hypodensities
(swirl, black hole), blend, spot and irregular shape (Barras et al. 2013, AJNR 34:1139; Morotti et al. 2020, Neurology
95:632).
"""

import numpy as np

__all__ = ["SIGNS", "bleed_signs"]

SIGNS = ("density", "unevenness", "dark", "bright", "lopsided", "irregular")
_LARGEST = np.array([100, 20, 40, 50, 10, 4])  # HU, HU, HU, HU, HU, none: where a sign becomes 1
_FEW = 5  # voxels: the brightest make a spot


def bleed_signs(ct_hu: np.ndarray, bleed: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Signs of a bleed, each from 0 to 1.

    Args:
        ct_hu: (Z, H, W) HU.
        bleed: (Z, H, W) bool.
        spacing: mm along z, y, x.

    Returns:
        By name of `SIGNS`: mean density, 1 at 100 HU; its standard deviation, 1 at 20 HU; how far the darkest tenth
        lies below the median, 1 at 40 HU; how far the five brightest voxels lie above it, 1 at 50 HU; how much denser
        one side is than the other, 1 at 10 HU for each standard deviation of the position; squared outline over area
        of the slices, 1 at four times that of a circle. NaN without a bleed.
    """
    hu = ct_hu[bleed].astype(float)
    if not len(hu):
        return np.full(len(SIGNS), np.nan)
    middle, ordered = np.median(hu), np.sort(hu)
    dark = middle - ordered[: max(1, len(hu) // 10)].mean()
    values = [
        hu.mean(),
        hu.std(),
        dark,
        ordered[-_FEW:].mean() - middle,
        _slope(hu, bleed, spacing),
        _outline(bleed, spacing),
    ]
    return np.clip(np.array(values) / _LARGEST, 0, 1)


def _slope(hu: np.ndarray, bleed: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Length of the gradient of the density along the axes of the bleed, in HU for each standard deviation."""
    points = np.argwhere(bleed) * spacing
    points = points - points.mean(0)
    spread = points.std(0)
    slopes = (points * (hu - hu.mean())[:, None]).mean(0) / np.maximum(spread, 1e-6) ** 2
    return float(np.linalg.norm(slopes * spread))


def _outline(bleed: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Squared outline over area, weighted by area, 1 for a circle drawn in pixels and 4 for one twice as long."""
    padded = np.pad(bleed, ((0, 0), (1, 1), (1, 1))).astype(int)
    along_y, along_x = (np.abs(np.diff(padded, axis=axis)).sum((1, 2)) for axis in (1, 2))
    outline, area = along_y * spacing[2] + along_x * spacing[1], bleed.sum((1, 2)) * spacing[1] * spacing[2]
    held = area > 0
    circle = 64 / np.pi  # of pixels: its outline is 8 radii long
    return float((outline[held] ** 2 / circle).sum() / area[held].sum())
