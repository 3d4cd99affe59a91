"""A volume from its file to a cube of a given size: turned to one orientation, resampled, cut around what matters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from datamodules.io import Volume, check_hu, read_mask, read_volume
from datamodules.io.pictures import read_picture
from datamodules.segmentation.batches import crop

__all__ = ["Around", "read_ct", "read_mr", "read_tiles", "window"]

Around = Literal["image", "liver", "lesion"]
"""What is cut out: the middle of the image, that of the liver, or that of its largest lesion."""

_TOLERANCE = 1e-3  # mm
_LESION = 2  # the label


def window(hu: np.ndarray, low: float, high: float) -> np.ndarray:
    """HU to [0, 1]: `low` and less become 0, `high` and more 1."""
    return np.clip((hu - low) / (high - low), 0, 1)


def read_ct(
    files: Mapping[str, Path],
    *,
    size: Sequence[int],
    spacing: Sequence[float],
    hu_window: Sequence[float],
    around: Around = "liver",
) -> np.ndarray:
    """The CT of a patient.

    Args:
        files: `ct`, and `liver` where there is one.
        size: Voxels along z, y, x.
        spacing: Mm along z, y, x.
        hu_window: HU that become 0 and 1.
        around: Where to cut; without a lesion around the liver, without a label around the middle.

    Returns:
        (1, D, H, W) uint8; 255 for 1. Axes point to the head, the front and the patient's right.

    Raises:
        ValueError: If a file cannot be read, holds NaN, or is no CT in HU.
    """
    ct = read_volume(files["ct"])
    check_hu(ct.array, files["ct"])
    cube = _cube(window(ct.array.astype(np.float32), *hu_window), ct, size, spacing, _middle(files, ct, around))
    return _to_uint8(cube)[None]


def read_mr(
    files: Mapping[str, Path], *, size: Sequence[int], spacing: Sequence[float], around: Around = "liver"
) -> np.ndarray:
    """T1 and T2 of a patient; one that is missing is 0.

    Intensities are stretched so that the 1st percentile becomes 0 and the 99.5th 1: those of MR have no unit.

    Args:
        files: `t1`, `t2` or both, and `liver` where there is one.
        size: Voxels along z, y, x.
        spacing: Mm along z, y, x.
        around: As in `read_ct`.

    Returns:
        (2, D, H, W) uint8.

    Raises:
        ValueError: If a file cannot be read or holds NaN.
    """
    channels = np.zeros((2, *size), np.uint8)
    for number, name in enumerate(("t1", "t2")):
        if name in files:
            volume = read_volume(files[name])
            data = volume.array.astype(np.float32)
            low, high = np.percentile(data, [1, 99.5])
            stretched = window(data, low, max(high, low + 1e-6))
            channels[number] = _to_uint8(_cube(stretched, volume, size, spacing, _middle(files, volume, around)))
    return channels


def read_tiles(files: Sequence[Path], count: int, size: int) -> np.ndarray:
    """A bag of tiles: evenly chosen where there are more than wanted, repeated where there are fewer.

    Args:
        files: At least one.
        count: Tiles wanted.
        size: Edge in pixels; others are resized.

    Returns:
        (count, 3, size, size) uint8.

    Raises:
        ValueError: If a file cannot be read.
    """
    chosen = np.arange(count) % len(files) if len(files) < count else np.arange(count) * len(files) // count
    tiles = {}
    for number in sorted(set(chosen.tolist())):
        tile = read_picture(files[number], colour=True, size=(size, size))
        tiles[number] = np.rint(tile).astype(np.uint8).transpose(2, 0, 1)
    return np.stack([tiles[number] for number in chosen.tolist()])


def _middle(files: Mapping[str, Path], image: Volume, around: Around) -> np.ndarray:
    """Where to cut, in voxels z, y, x: the middle of a box, by mm, as T2 has a grid of its own; else of the image."""
    shape = np.array(image.grid.shape)
    if "liver" in files and around != "image":
        labels = read_mask(files["liver"])
        places = np.argwhere(_largest(labels.array == _LESION) if around == "lesion" else labels.array > 0)
        places = places if len(places) else np.argwhere(labels.array > 0)
        if len(places):
            voxel = (places.min(0) + places.max(0))[::-1] / 2
            place = np.linalg.solve(image.affine, labels.affine @ np.array([*voxel, 1.0]))[:3][::-1]
            if ((place > -_TOLERANCE) & (place < shape + _TOLERANCE)).all():
                return place
    return (shape - 1) / 2


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part."""
    parts, count = ndimage.label(mask)
    return parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1 if count else mask


def _cube(
    image: np.ndarray, volume: Volume, size: Sequence[int], spacing: Sequence[float], middle: np.ndarray
) -> np.ndarray:
    """An image of a volume resampled linearly to `spacing`, cut or padded with 0 to `size` around `middle`."""
    scale = np.array(volume.spacing) / np.array(spacing)
    wanted = [max(1, round(n * each)) for n, each in zip(image.shape, scale, strict=True)]
    tensor: Tensor = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None]
    if wanted != list(image.shape):
        tensor = F.interpolate(tensor[None], tuple(wanted), mode="trilinear")[0]
    corner = [round(float((at + 0.5) * each - side / 2)) for at, each, side in zip(middle, scale, size, strict=True)]
    return crop(tensor.numpy(), corner, size)[0]


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return np.rint(image * 255).astype(np.uint8)
