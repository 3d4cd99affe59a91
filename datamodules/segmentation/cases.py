"""Read the images and mask of a case, check them, resample them to the plan's spacing and normalise them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medzoo.datamodules import io
from medzoo.datamodules.io.pictures.labels import read_label_picture
from medzoo.datamodules.io.pictures.pages import is_picture, read_picture
from medzoo.datamodules.segmentation.files import CaseFiles
from medzoo.datamodules.segmentation.plan import ANISOTROPY
from medzoo.datamodules.skull import bone_share

__all__ = ["Case", "Intensities", "geometries", "geometry", "measure", "raw_image", "read_case", "resample"]


@dataclass(frozen=True)
class Intensities:
    """Intensities of the foreground of the training images, for nnU-Net's normalisation of CT."""

    low: float  # 0.5th percentile; lower values are raised to it
    high: float  # 99.5th percentile
    mean: float  # of the foreground
    std: float  # of the foreground

    @classmethod
    def window(cls, low: float, high: float) -> "Intensities":
        """Intensities that map a window to [0, 1]."""
        return cls(low, high, low, high - low)

    @classmethod
    def of_image(cls, image: np.ndarray) -> "Intensities":
        """The window from the 0.5th to the 99.5th percentile of an image, whose intensities have no unit."""
        low, high = np.percentile(image, [0.5, 99.5])
        return cls.window(float(low), float(high))

    def normalise(self, image: np.ndarray) -> np.ndarray:
        """Clip, centre and scale an image; float32."""
        return ((np.clip(image, self.low, self.high) - self.mean) / max(self.std, 1e-8)).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """An image at the plan's spacing, in array order (z first)."""

    id: str  # name of the case
    image: np.ndarray  # (C, *spatial) float32, normalised
    mask: np.ndarray | None  # (*spatial) uint8 label values at the plan's spacing, if there is a mask
    truth: np.ndarray | None  # (*spatial) uint8 mask as in the file, for scores
    spacing: tuple[float, ...]  # mm of a voxel of the file
    size: tuple[int, ...]  # voxels of the file
    files: CaseFiles  # where it comes from
    bone: float | None = None  # share of bone in the first channel of a volume, if that is CT (`datamodules/skull.py`)


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


def read_case(
    case: CaseFiles,
    classes: int,
    spacing: Sequence[float],
    intensities: Sequence[Intensities | None],
    labels: Sequence[int] | None = None,
    *,
    ct: bool = False,
) -> Case:
    """Read a case for a network.

    Args:
        case: Its files.
        classes: Label values 0 to `classes - 1` are allowed.
        spacing: Spacing in mm to resample to.
        intensities: Intensities of each channel; None scales the 0.5th to 99.5th percentile of the channel to [0, 1].
        labels: Label value of the network by that of the file, if classes come in another order.
        ct: Whether the first channel of volumes is CT, which must be in HU.

    Returns:
        The case.

    Raises:
        ValueError: If files have different grids, hold NaN, are CT but not in HU, are volumes for a 2-D spacing or
            pictures for a 3-D one, or a label value is not in `dataset.json`.
    """
    image, mask, here = _read(case, classes, len(spacing))
    if len(here) != len(spacing):
        raise ValueError(f"{case.images[0]}: a picture; the plan of this model is for volumes")
    if ct and not is_picture(case.images[0]):
        io.check_offset(image[0], case.images[0])
    if labels is not None and mask is not None:
        mask = np.asarray(labels, np.uint8)[mask]
    bone = bone_share(image[0])
    size = [round(n * old / new) for n, old, new in zip(image.shape[1:], here, spacing, strict=True)]
    pairs = zip(intensities, image, strict=True)
    normal = np.stack([(each or Intensities.of_image(channel)).normalise(channel) for each, channel in pairs])
    resampled = resample(torch.from_numpy(normal), size, here).numpy()
    if mask is None:
        return Case(case.id, resampled, None, None, here, image.shape[1:], case, bone)
    each = F.one_hot(torch.from_numpy(mask).long(), classes).movedim(-1, 0).float()
    smaller = mask if list(mask.shape) == size else resample(each, size, here).argmax(0).numpy().astype(np.uint8)
    return Case(case.id, resampled, smaller, mask, here, image.shape[1:], case, bone)


def measure(
    cases: Sequence[CaseFiles],
    classes: int,
    voxels: int = 10_000_000,
    seed: int = 1234,
    ignore: int | None = None,
) -> list[Intensities]:
    """Measure the intensities of the foreground of training cases, for each channel.

    Each case gives equally many voxels, drawn with replacement by `seed`; voxels labelled `ignore` are not foreground.

    Raises:
        ValueError: If no case has foreground.
    """
    drawn: list[np.ndarray] = []
    rng, each = np.random.default_rng(seed), max(1, voxels // len(cases))
    for case in cases:
        image, mask, _ = _read(case, classes)
        known = True if ignore is None else mask != ignore
        foreground = image[:, (mask > 0) & known] if mask is not None else image[:, :0]
        if foreground.shape[1]:
            drawn.append(foreground[:, rng.integers(0, foreground.shape[1], min(each, foreground.shape[1]))])
    if not drawn:
        raise ValueError("no training mask has a voxel of foreground: there is nothing to learn")
    return [
        Intensities(*(float(x) for x in (*np.percentile(channel, [0.5, 99.5]), channel.mean(), channel.std())))
        for channel in np.concatenate(drawn, axis=1)
    ]


def resample(image: Tensor, size: Sequence[int], spacing: Sequence[float]) -> Tensor:
    """Resample (C, *spatial) float to (C, *size), linearly; thick slices are not mixed, as in nnU-Net."""
    if list(image.shape[1:]) == list(size):
        return image
    mode = "trilinear" if len(size) == 3 else "bilinear"
    if len(size) == 3 and spacing[0] > ANISOTROPY * max(spacing[1:]):
        image = F.interpolate(image[None], (image.shape[1], *size[1:]), mode=mode)[0]
        return F.interpolate(image[None], tuple(size), mode="nearest-exact")[0]
    return F.interpolate(image[None], tuple(size), mode=mode)[0]


def _read(case: CaseFiles, classes: int, axes: int = 3) -> tuple[np.ndarray, np.ndarray | None, tuple[float, ...]]:
    """Image (C, *spatial) float32, mask (*spatial) uint8 and spacing in mm; with 2 axes, of one slice."""
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
