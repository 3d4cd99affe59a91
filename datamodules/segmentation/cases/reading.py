"""Read the images and the mask of a case as they are in their files, and check that they belong together."""

from collections.abc import Sequence

import numpy as np

from medzoo.datamodules import io
from medzoo.datamodules.io.pictures.labels import read_label_picture
from medzoo.datamodules.io.pictures.pages import is_picture, read_picture
from medzoo.datamodules.segmentation.files import CaseFiles

__all__ = ["geometries", "geometry", "raw_image", "read_files"]


def geometry(case: CaseFiles, axes: int = 3) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Spacing in mm and size in voxels of an image, z first, from its header; with 2 axes, of its one slice.

    Pixels of pictures count as 1 mm.
    """
    if is_picture(case.images[0]):
        return (1.0, 1.0), read_picture(case.images[0]).shape
    grid = io.geometry(case.images[0])
    return (grid.pixel, grid.pixels) if axes == 2 else (grid.spacing, grid.shape)


def geometries(cases: Sequence[CaseFiles]) -> list[tuple[tuple[float, ...], tuple[int, ...]]]:
    """Geometry of each case; in 2-D if all are volumes of one slice, as nnU-Net stores pictures."""
    found = [geometry(case) for case in cases]
    one = all(len(shape) == 3 and 1 in shape for _, shape in found)
    return [geometry(case, 2) for case in cases] if one else found


def raw_image(case: CaseFiles, axes: int = 3) -> np.ndarray:
    """First channel (*spatial) float32 as stored in its file; with 2 axes, its one slice as a picture."""
    if is_picture(case.images[0]):
        return read_picture(case.images[0])
    volume = io.read_volume(case.images[0])
    return (volume.array if axes == 3 else volume.grid.to_picture(volume.array)).astype(np.float32, copy=False)


def read_files(case: CaseFiles, classes: int, axes: int = 3) -> tuple[np.ndarray, np.ndarray | None, tuple[float, ...]]:
    """Read image (C, *spatial) float32, mask (*spatial) uint8 if there is one, and spacing in mm, z first.

    Args:
        case: Its files.
        classes: Label values 0 to `classes - 1` are allowed.
        axes: With 2, volumes must have one slice, which is read as a picture.

    Raises:
        ValueError: If files have different grids, hold NaN or an unknown label, or have more slices.
    """
    if is_picture(case.images[0]):
        return _read_picture(case, classes)
    volumes = [io.read_volume(file) for file in case.images]
    grid = volumes[0].grid
    for file, volume in zip(case.images[1:], volumes[1:], strict=True):
        io.check_same_grid(file, volume.grid, case.images[0], grid)
    arrays = [volume.array for volume in volumes]
    if case.mask is not None:
        mask = io.read_mask(case.mask, range(classes))
        io.check_same_grid(case.mask, mask.grid, case.images[0], grid)
        arrays.append(mask.array)
    spacing: tuple[float, ...] = grid.spacing
    if axes == 2:
        if not grid.is_slice:
            raise ValueError(f"{case.images[0]}: {grid.shape[0]} slices; the plan of this model is for pictures")
        arrays, spacing = [grid.to_picture(array) for array in arrays], grid.pixel
    image = np.stack(arrays[: len(volumes)], dtype=np.float32, casting="unsafe")
    return image, None if case.mask is None else np.ascontiguousarray(arrays[-1]), spacing


def _read_picture(case: CaseFiles, classes: int) -> tuple[np.ndarray, np.ndarray | None, tuple[float, ...]]:
    image = read_picture(case.images[0])
    mask = None if case.mask is None else read_label_picture(case.mask, classes, case.colours)
    if mask is not None and mask.shape != image.shape:
        raise ValueError(f"{case.mask}: {mask.shape} pixels, but {case.images[0].name} has {image.shape}; resample one")
    return image[None], mask, (1.0, 1.0)
