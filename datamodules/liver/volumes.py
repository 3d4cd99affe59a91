"""A volume from its file to a cube of a given size: turned to one orientation, resampled, cut around what matters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from datamodules.io import Volume, check_hu, read_mask, read_volume
from datamodules.io.pictures import read_picture
from datamodules.segmentation.batches import crop

__all__ = ["Around", "read_ct", "read_mr", "read_tiles"]

Around = Literal["image", "liver", "lesion"]
"""What is cut out: the middle of the image, that of the liver, or that of its largest lesion."""

_TOLERANCE = 1e-3  # mm
_LESION = 2  # the label


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
        hu_window: HU that become 0 and 255.
        around: Where to cut; without a lesion around the liver, without a label around the middle.

    Returns:
        (1, D, H, W) uint8. Axes point to the head, the front and the patient's right.

    Raises:
        ValueError: If a file cannot be read, holds NaN, or is no CT in HU.
    """
    ct = read_volume(files["ct"])
    check_hu(ct.array, files["ct"])
    return _cube(ct, hu_window, size, spacing, _middle(files, ct, around))[None]


def read_mr(
    files: Mapping[str, Path], *, size: Sequence[int], spacing: Sequence[float], around: Around = "liver"
) -> np.ndarray:
    """(2, D, H, W) uint8, T1 and T2 of a patient as `read_ct` gives CT; of `t1` and `t2` one may be missing and is 0.

    Intensities are stretched so that the 1st percentile becomes 0 and the 99.5th 255: those of MR have no unit.

    Raises:
        ValueError: If a file cannot be read or holds NaN.
    """
    channels = np.zeros((2, *size), np.uint8)
    for number, name in enumerate(("t1", "t2")):
        if name in files:
            volume = read_volume(files[name])
            low, high = np.percentile(volume.array.astype(np.float32), [1, 99.5])
            window = (low, max(high, low + 1e-6))
            channels[number] = _cube(volume, window, size, spacing, _middle(files, volume, around))
    return channels


def read_tiles(files: Sequence[Path], count: int, size: int) -> np.ndarray:
    """(count, 3, size, size) uint8, resized: evenly chosen of more files than `count`, repeated where there are fewer.

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
    volume: Volume, window: Sequence[float], size: Sequence[int], spacing: Sequence[float], middle: np.ndarray
) -> np.ndarray:
    """(D, H, W) uint8, 0 to 255 for `window`: resampled linearly, cut or padded with 0 to `size` around `middle`."""
    low, high = window
    image = np.clip((volume.array.astype(np.float32) - low) / (high - low), 0, 1).astype(np.float32)
    scale = np.array(volume.spacing) / np.array(spacing)
    wanted = tuple(max(1, round(n * each)) for n, each in zip(image.shape, scale, strict=True))
    if wanted != image.shape:
        image = F.interpolate(torch.from_numpy(image)[None, None], wanted, mode="trilinear")[0, 0].numpy()
    corner = [round(float((at + 0.5) * each - side / 2)) for at, each, side in zip(middle, scale, size, strict=True)]
    return np.rint(crop(image[None], corner, size)[0] * 255).astype(np.uint8)
