"""The masked voxels of a batch of images as one list, and their grey levels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medzoo.datamodules.radiomics.settings import RadiomicsSettings

__all__ = ["Regions", "grey_levels", "row_wise"]


@dataclass(frozen=True)
class Regions:
    """V masked voxels of N images, image after image, each in the order of the array.

    All that is computed from them is free of where in its image a mask lies, so positions count from its corner.
    """

    counts: np.ndarray
    """(N,) voxels of each image, at least one."""
    image: np.ndarray
    """(V,) index of the image."""
    position: np.ndarray
    """(V, S) index along each axis, from the first voxel of the image's mask on."""
    values: np.ndarray
    """(V,) float64 intensities."""
    spacing: np.ndarray
    """(S,) edge lengths of a voxel (mm)."""

    @classmethod
    def of(cls, images: np.ndarray, masks: np.ndarray, spacing: tuple[float, ...]) -> "Regions":
        """Of images (N, *spatial) and masks (N, *spatial) bool, none empty."""
        image, *axes = np.unravel_index(np.flatnonzero(masks), masks.shape)  # sooner than np.nonzero
        counts = np.bincount(image, minlength=len(images))
        starts = counts.cumsum() - counts
        position = np.stack(axes, axis=1)
        position -= np.minimum.reduceat(position, starts, axis=0)[image]
        return cls(counts, image, position, images[masks].astype(float), np.array(spacing))

    @cached_property
    def size(self) -> tuple[int, ...]:
        """The box that holds every mask of the batch."""
        return tuple(int(edge) for edge in self.position.max(0) + 1)

    @property
    def dims(self) -> int:
        """Number of spatial axes."""
        return self.position.shape[1]


def row_wise(regions: Regions, values: np.ndarray, fill: float) -> np.ndarray:
    """(V,) values as (N, M) rows, one for each image, filled up at their end; M is the largest count."""
    inside = np.arange(regions.counts.max()) < regions.counts[:, None]
    rows = np.full(inside.shape, fill)
    rows[inside] = values
    return rows


def grey_levels(regions: Regions, settings: RadiomicsSettings) -> np.ndarray:
    """(V,) grey levels from 1 on.

    With a bin width, pyradiomics counts bins from the last multiple of it at or below the smallest intensity,
    IBSI from that intensity itself. With a bin count, both divide the range of the mask evenly and the largest
    intensity belongs to the last bin (IBSI manual, section 2.7); a constant mask has level 1.
    """
    starts = regions.counts.cumsum() - regions.counts
    low = np.minimum.reduceat(regions.values, starts)
    if settings.bin_count is None:
        width = np.full(len(low), settings.bin_width)
        if settings.definition == "pyradiomics":
            low = low - np.mod(low, width)
    else:
        span = np.maximum.reduceat(regions.values, starts) - low
        width = np.where(span > 0, span, 1.0) / settings.bin_count
    low, width = low[regions.image], width[regions.image]
    level = np.floor((regions.values - low) / width)
    # where a division was rounded over an edge, the edges decide
    level += regions.values >= low + (level + 1) * width
    level -= regions.values < low + level * width
    if settings.bin_count is not None:
        level = np.minimum(level, settings.bin_count - 1)
    return level.astype(np.int64) + 1
