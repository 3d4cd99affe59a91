"""Read volumes onto a grid in RAS order, optionally with a corrected spacing."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from medzoo.datamodules.io import Grid, Volume, geometry, read_mask, read_volume

__all__ = ["read_turned", "with_labels", "without_spacing"]

_TOLERANCE = 1e-2  # mm, in the entries of the affine


def read_turned(file: Path, *, spacing: Sequence[float] | None = None) -> Volume:
    """Read a volume onto a grid whose axes point to the right, the front and the head.

    `spacing`, in mm along the axes of the file, replaces the spacing of the header.

    Raises:
        ValueError: If the file cannot be read, is not a volume, or contains NaN.
    """
    return _turned(read_volume(file), spacing)


def with_labels(
    image: Volume, mask_file: Path, allowed: Collection[int], *, spacing: Sequence[float] | None = None
) -> Volume:
    """Read the label map (uint8, with `allowed` values) of an image on its grid; use the image's `spacing`.

    Raises:
        ValueError: If shape or axes differ from the image's, or the mask has another value.
    """
    mask = _turned(read_mask(mask_file, allowed), spacing)
    if mask.array.shape != image.array.shape:
        raise ValueError(f"{mask_file}: {mask.array.shape[::-1]} voxels, its image has {image.array.shape[::-1]}")
    if np.abs(mask.affine[:3, :3] - image.affine[:3, :3]).max() > _TOLERANCE:
        raise ValueError(f"{mask_file}: axes or spacing differ from those of its image; export both again")
    return Volume(mask.array, image.grid)


def without_spacing(file: Path) -> bool:
    """Whether the header has probably lost its spacing: an identity matrix, 1 mm in all directions."""
    return bool(np.allclose(np.abs(geometry(file).file_affine[:3, :3]), np.eye(3)))


def _turned(volume: Volume, spacing: Sequence[float] | None) -> Volume:
    grid = volume.grid
    if spacing is not None:
        affine = grid.file_affine.copy()
        affine[:3, :3] *= np.array(spacing) / np.linalg.norm(affine[:3, :3], axis=0)
        grid = Grid(grid.file_shape, affine)
    return Volume(volume.array, grid.turned())
