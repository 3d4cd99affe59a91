"""Largest distances between surface points, which lie half-way between a masked voxel and an unmasked one.

Indices are doubled, so that these points have integer coordinates. Only the two outermost points of each line are kept:
no other point can be an end of a largest distance.
"""

import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from medzoo.datamodules.radiomics.regions import Regions

__all__ = ["largest_2d", "largest_3d"]

NOWHERE = 1 << 20
"""Larger than any index."""
HULL = 500
"""Number of points from which on a convex hull saves time."""

Crossings = list[tuple[np.ndarray, ...]]


def largest_2d(regions: Regions) -> np.ndarray:
    """(N,) largest diameters of 2-D masks (mm)."""
    low, high = _lines(_crossings(regions), along=1)
    return _of_planes(low[:, None], high[:, None], *regions.spacing)


def largest_3d(regions: Regions) -> np.ndarray:
    """(N, 4) largest diameters of 3-D masks (mm).

    Between points with the same first, second or third index, and between any points.
    """
    z, y, x = regions.spacing
    crossings = _crossings(regions)
    low, high = _lines(crossings, along=2)
    slices = _of_planes(low, high, y, x)
    columns = _of_planes(low.swapaxes(1, 2), high.swapaxes(1, 2), z, x)
    low_y, high_y = (ends.swapaxes(1, 2) for ends in _lines(crossings, along=1))
    rows = _of_planes(low_y, high_y, z, y)
    planar = np.stack([slices, columns, rows], axis=1)
    return np.column_stack([planar, _overall(low, high, regions.spacing, planar.max(1))])


def _crossings(regions: Regions) -> Crossings:
    """For each axis, the surface points between neighbours along it: index of the image, then doubled indices."""
    grid = np.zeros((len(regions.counts), *(edge + 2 for edge in regions.size)), bool)
    grid[regions.image, *(regions.position + 1).T] = True
    found = []
    for axis in range(1, grid.ndim):
        differs = np.diff(grid, axis=axis)
        image, *indices = np.unravel_index(np.flatnonzero(differs), differs.shape)
        found.append((image, *(2 * index + (k == axis) for k, index in enumerate(indices, start=1))))
    return found


def _lines(crossings: Crossings, along: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last point of every line along an axis.

    Returns:
        Two arrays (N, lines along each other axis) of doubled indices; where a line has no point the first is far
        above the last.
    """
    sizes = [max(int(part[axis].max()) for part in crossings) + 1 for axis in range(len(crossings) + 1)]
    del sizes[along + 1]
    low, high = (np.full(sizes, end, np.int32) for end in (NOWHERE, -NOWHERE))
    for part in crossings:
        line = tuple(index for axis, index in enumerate(part) if axis != along + 1)
        np.minimum.at(low, line, part[along + 1].astype(np.int32))
        np.maximum.at(high, line, part[along + 1].astype(np.int32))
    return low, high


def _of_planes(low: np.ndarray, high: np.ndarray, row: float, column: float) -> np.ndarray:
    """(N,) largest distance (mm) within planes, given as (N, P, R) first and last points of their rows."""
    best = np.zeros(len(low))
    for apart in range(low.shape[2]):
        here, there = slice(None, low.shape[2] - apart), slice(apart, None)
        wide = np.maximum(high[..., here] - low[..., there], high[..., there] - low[..., here])
        wide = wide.reshape(len(low), -1).max(1)
        found = np.hypot(np.maximum(wide, 0) * column, apart * row) / 2
        np.maximum(best, found, out=best, where=wide >= 0)
    return best


def _overall(low: np.ndarray, high: np.ndarray, spacing: np.ndarray, at_least: np.ndarray) -> np.ndarray:
    """(N,) largest distance (mm) between any two ends of lines; a lower bound saves most of the work."""
    image, z, y = np.nonzero(high >= low)
    ends = np.stack([low[image, z, y], high[image, z, y]], axis=1).ravel()
    image, z, y = (np.repeat(index, 2) for index in (image, z, y))
    points = np.stack([z, y, ends], axis=1) * (spacing / 2)
    starts = np.searchsorted(image, np.arange(len(low)))
    centre = (np.minimum.reduceat(points, starts) + np.maximum.reduceat(points, starts)) / 2
    radius = np.linalg.norm(points - centre[image], axis=1)
    # keep only points that could form a longer distance with the farthest point
    kept = radius + np.maximum.reduceat(radius, starts)[image] >= at_least[image] * (1 - 1e-9)
    bounds = np.searchsorted(image[kept], np.arange(1, len(low)))
    return np.array([_of_points(some) for some in np.split(points[kept], bounds)])


def _of_points(points: np.ndarray) -> float:
    if len(points) > HULL:
        points = points[ConvexHull(points).vertices]
    return float(pdist(points).max())
