"""Runs, zones and dependences: lists of (grey level, size) elements whose features have the same formulas.

GLRLM counts runs of one level along a direction (Galloway 1975), GLSZM zones of one level (Thibault et al. 2009),
GLDM how many neighbours of a voxel have its level (Sun and Wee 1983); pyradiomics; IBSI manual, sections 3.7, 3.8
and 3.11.
"""

import warnings

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import entr

from medzoo.datamodules.radiomics.neighbours import Neighbours, directions

__all__ = ["GLDM", "GLRLM", "GLSZM", "gldm", "glrlm", "glszm"]

_PATTERN = (
    "Small{size}Emphasis",
    "Large{size}Emphasis",
    "GrayLevelNonUniformity",
    "GrayLevelNonUniformityNormalized",
    "{sizes}NonUniformity",
    "{sizes}NonUniformityNormalized",
    "{one}Percentage",
    "GrayLevelVariance",
    "{one}Variance",
    "{one}Entropy",
    "LowGrayLevel{level}Emphasis",
    "HighGrayLevel{level}Emphasis",
    "Small{size}LowGrayLevelEmphasis",
    "Small{size}HighGrayLevelEmphasis",
    "Large{size}LowGrayLevelEmphasis",
    "Large{size}HighGrayLevelEmphasis",
)


def _names(size: str, sizes: str, one: str, level: str) -> tuple[str, ...]:
    names = (name.format(size=size, sizes=sizes, one=one, level=level) for name in _PATTERN)
    if size != "Run":
        return tuple(names)
    return tuple(name.replace("SmallRun", "ShortRun").replace("LargeRun", "LongRun") for name in names)


GLRLM = _names("Run", "RunLength", "Run", "Run")
GLSZM = _names("Area", "SizeZone", "Zone", "Zone")
_DEPENDENCE = _names("Dependence", "Dependence", "Dependence", "")
_OF_GLDM = [k for k, name in enumerate(_PATTERN) if name not in (_PATTERN[3], _PATTERN[6])]  # Uniformity, and always 1
GLDM = tuple(_DEPENDENCE[k] for k in _OF_GLDM)


def glrlm(neighbours: Neighbours) -> np.ndarray:
    """(N, 16) means over directions, in the order of `GLRLM`; NaN if no line has two voxels of the mask."""
    regions, count = neighbours.regions, len(neighbours.regions.counts)
    results = []
    for step in directions(regions.dims):
        first = np.flatnonzero(neighbours.beside(tuple(-part for part in step)) != neighbours.levels)
        lengths = _run_lengths(neighbours, step, neighbours.at[first])
        features = sized_features(regions.image[first], neighbours.levels[first], lengths, count)
        features[~_has_line(neighbours, step)] = np.nan
        results.append(features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean over no direction
        return np.nanmean(results, axis=0)


def glszm(neighbours: Neighbours) -> np.ndarray:
    """(N, 16) in the order of `GLSZM`; voxels of a zone are connected by faces, edges or corners."""
    regions, levels = neighbours.regions, neighbours.levels
    starts, ends = _links(neighbours)
    graph = coo_array((np.ones(len(starts), bool), (starts, ends)), shape=(len(levels), len(levels)))
    zones, label = connected_components(graph, directed=False)
    member = np.empty(zones, int)
    member[label] = np.arange(len(label))  # one voxel of each zone, to look up image and level
    sizes = np.bincount(label, minlength=zones)
    return sized_features(regions.image[member], levels[member], sizes, len(regions.counts))


def gldm(neighbours: Neighbours) -> np.ndarray:
    """(N, 14) in the order of `GLDM`; the voxel itself counts as one of its dependents."""
    sizes = np.ones(len(neighbours.levels), int)
    for step in directions(neighbours.regions.dims):
        for way in (step, tuple(-part for part in step)):
            sizes += neighbours.beside(way) == neighbours.levels
    regions = neighbours.regions
    return sized_features(regions.image, neighbours.levels, sizes, len(regions.counts))[:, _OF_GLDM]


def sized_features(image: np.ndarray, level: np.ndarray, size: np.ndarray, count: int) -> np.ndarray:
    """Features of lists of elements.

    Args:
        image: (E,) index of the image that an element belongs to.
        level: (E,) its grey level, from 1 on.
        size: (E,) its size in voxels.
        count: Number of images.

    Returns:
        (count, 16) in the order of the module's names; NaN for an image without elements.
    """
    depth, largest = int(level.max()) + 1, int(size.max()) + 1
    keys, n = _counted((image * depth + level) * largest + size, count * depth * largest)
    image, level, size = keys // (depth * largest), keys // largest % depth, keys % largest

    def mean(of: np.ndarray) -> np.ndarray:
        return np.bincount(image, n * of, count) / total

    def squares(other: np.ndarray, length: int) -> np.ndarray:
        margin = np.bincount(image * length + other, n, count * length).reshape(count, length)
        return (margin**2).sum(1) / total

    total = np.bincount(image, n, count).astype(float)
    total[total == 0] = np.nan
    i2, j2 = level.astype(float) ** 2, size.astype(float) ** 2
    by_level, by_size = squares(level, depth), squares(size, largest)
    spread = [mean(of) for of in ((level - mean(level)[image]) ** 2, (size - mean(size)[image]) ** 2)]
    entropy = np.bincount(image, entr(n / total[image]), count) / np.log(2) + 0 * total
    emphases = [mean(of) for of in (1 / i2, i2, 1 / i2 / j2, i2 / j2, j2 / i2, i2 * j2)]
    columns = [mean(1 / j2), mean(j2), by_level, by_level / total, by_size, by_size / total, 1 / mean(size)]
    return np.stack([*columns, *spread, entropy, *emphases], axis=1)


def _links(neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of neighbouring voxels of the same level, enough to connect every zone.

    A diagonal pair is left out if a face neighbour of the first voxel towards the second has the same level:
    that voxel already links both.
    """
    dims, levels, at = neighbours.regions.dims, neighbours.levels, neighbours.at
    along = {
        tuple(step): neighbours.beside(tuple(step)) == levels
        for way in (1, -1)
        for step in way * np.eye(dims, dtype=int)
    }
    starts, ends = [], []
    for step in directions(dims):
        if step in along:
            linked = along[step]
        else:
            linked = neighbours.beside(step) == levels
            for axis in np.flatnonzero(step):
                linked &= ~along[tuple(part * (k == axis) for k, part in enumerate(step))]
        starts.append(np.flatnonzero(linked))
        ends.append(neighbours.voxels.take(at[starts[-1]] + neighbours.offset(step)) - 1)
    return np.concatenate(starts), np.concatenate(ends)


def _counted(keys: np.ndarray, space: int) -> tuple[np.ndarray, np.ndarray]:
    """Unique keys and their counts; without sorting if the range of keys is small."""
    if space > 8 * len(keys):
        return np.unique(keys, return_counts=True)
    counts = np.bincount(keys, minlength=space)
    found = np.flatnonzero(counts)
    return found, counts[found]


def _run_lengths(neighbours: Neighbours, step: tuple[int, ...], starts: np.ndarray) -> np.ndarray:
    """(E,) length of the run from each start along a step, until the level changes or the mask ends."""
    grid, offset = neighbours.grid, neighbours.offset(step)
    lengths = np.ones(len(starts), int)
    running, at = np.arange(len(starts)), starts
    while len(running):
        ahead = at + offset
        goes_on = grid.take(ahead) == grid.take(at)
        running, at = running[goes_on], ahead[goes_on]
        lengths[running] += 1
    return lengths


def _has_line(neighbours: Neighbours, step: tuple[int, ...]) -> np.ndarray:
    """(N,) whether any line along a step has two voxels of the mask; if not, the direction is left out."""
    regions = neighbours.regions
    starts = regions.counts.cumsum() - regions.counts
    found = np.maximum.reduceat(neighbours.beside(step), starts) > 0  # usually two voxels touch
    for image in np.flatnonzero(~found):
        points = regions.position[regions.image == image]
        axis = next(k for k, part in enumerate(step) if part)
        lines = points - points[:, [axis]] * step[axis] * np.array(step)
        found[image] = len(np.unique(lines, axis=0)) < len(points)
    return found
