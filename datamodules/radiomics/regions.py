"""The masked voxels of a batch of images as one list, and their grey levels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medzoo.datamodules.radiomics.settings import RadiomicsSettings

__all__ = ["Regions", "grey_levels", "row_wise"]


@dataclass(frozen=True)
class Regions:
    """V masked voxels of N images, image by image, in the order of the array.

    Features do not depend on where a mask lies in its image, so positions are relative to the corner of the mask.
    """

    counts: np.ndarray
    """(N,) voxels of each image, at least one."""
    image: np.ndarray
    """(V,) index of the image."""
    position: np.ndarray
    """(V, S) index along each axis, relative to the first voxel of the image's mask."""
    values: np.ndarray
    """(V,) float64 intensities."""
    spacing: np.ndarray
    """(S,) edge lengths of a voxel (mm)."""

    @classmethod
    def of(cls, images: np.ndarray, masks: np.ndarray, spacing: tuple[float, ...]) -> "Regions":
        """From images (N, *spatial) and non-empty masks (N, *spatial) bool."""
        image, *axes = np.unravel_index(np.flatnonzero(masks), masks.shape)  # faster than np.nonzero
        counts = np.bincount(image, minlength=len(images))
        starts = counts.cumsum() - counts
        position = np.stack(axes, axis=1)
        position -= np.minimum.reduceat(position, starts, axis=0)[image]
        return cls(counts, image, position, images[masks].astype(float), np.array(spacing))

    @cached_property
    def size(self) -> tuple[int, ...]:
        """Size of the box that fits every mask of the batch."""
        return tuple(int(edge) for edge in self.position.max(0) + 1)

    @property
    def dims(self) -> int:
        """Number of spatial axes."""
        return self.position.shape[1]


def row_wise(regions: Regions, values: np.ndarray, fill: float) -> np.ndarray:
    """(V,) values as (N, M) rows, one for each image, padded with `fill`; M is the largest count."""
    inside = np.arange(regions.counts.max()) < regions.counts[:, None]
    rows = np.full(inside.shape, fill)
    rows[inside] = values
    return rows


def grey_levels(regions: Regions, settings: RadiomicsSettings) -> np.ndarray:
    """(V,) grey levels, starting at 1.

    With a bin width, pyradiomics starts the bins at the last multiple of the width at or below the smallest intensity,
    IBSI at the smallest intensity itself. With a bin count, both divide the range of the mask evenly and the largest
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
    # correct levels where rounding moved a value across a bin edge
    level += regions.values >= low + (level + 1) * width
    level -= regions.values < low + level * width
    if settings.bin_count is not None:
        level = np.minimum(level, settings.bin_count - 1)
    return level.astype(np.int64) + 1
