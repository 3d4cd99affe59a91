"""Read CT, MR and tiles at one size: volumes resampled and cropped around the target, tiles in bags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track
from scipy import ndimage
from torch import Tensor

from medzoo.datamodules.io import Volume, check_hu, read_mask, read_volume
from medzoo.datamodules.io.pictures.pages import read_picture
from medzoo.datamodules.liver.records import IMAGES, Patient
from medzoo.datamodules.segmentation.cases import crop
from medzoo.datamodules.transforms.macenko import MacenkoNormalizer

__all__ = ["Around", "ImageSizes", "read_images"]

Around = Literal["image", "liver", "lesion"]
"""Centre of the crop: of the image, the liver, or its largest lesion."""

_TOLERANCE = 1e-3  # mm
_LESION = 2  # the label
_READ: dict[tuple, Tensor] = {}  # cache of images, so that a run of several stages reads its cohort once
_SETS = 9  # three modalities of images in three splits


@dataclass(frozen=True)
class ImageSizes:
    """Size and intensities of images.

    Attributes:
        size: Voxels z, y, x of CT and MR; axes point to the head, the front and the patient's right.
        spacing: Spacing in mm.
        hu_window: HU that become 0 and 255.
        tiles: Tiles in a bag, each of `tile_size` pixels squared.
        macenko: Whether to normalise the stains of a patient's tiles.
        around: Centre of the crop of CT and MR; without a lesion the liver, without a label the middle.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    hu_window: tuple[float, ...] = (-160.0, 240.0)
    tiles: int = 8
    tile_size: int = 64
    macenko: bool = False
    around: Around = "liver"

    def shape(self, modality: str) -> tuple[int, ...]:
        """Shape of one patient's images."""
        if modality == "histology":
            return (self.tiles, 3, self.tile_size, self.tile_size)
        return (IMAGES[modality], *self.size)

    def of(self, modality: str) -> tuple[object, ...]:
        """What the images of a modality depend on, other than files."""
        if modality == "histology":
            return self.tiles, self.tile_size, self.macenko
        return self.size, self.spacing, self.hu_window if modality == "ct" else None

    def read(self, modality: str, files: Mapping[str, Path], centre: Centre = None) -> np.ndarray:
        """(*shape) uint8; see the method of the modality."""
        if modality == "histology":
            return self.histology([*files.values()])
        return self.ct(files["ct"], centre) if modality == "ct" else self.mr(files, centre)

    def ct(self, files: Mapping[str, Path]) -> np.ndarray:
        """(1, D, H, W) uint8 of the file `ct`, and `liver` if there is one.

        Raises:
            ValueError: If a file cannot be read, holds NaN, or is not CT in HU.
        """
        ct = read_volume(files["ct"])
        check_hu(ct.array, files["ct"])
        return self._cube(ct, self.hu_window, files)[None]

    def mr(self, files: Mapping[str, Path]) -> np.ndarray:
        """(2, D, H, W) uint8 of the files `t1`, `t2` or both, and `liver` if there is one; a missing channel is 0.

        The 1st percentile becomes 0 and the 99.5th 255, since MR has no unit.

        Raises:
            ValueError: If a file cannot be read or holds NaN.
        """
        channels = np.zeros((2, *self.size), np.uint8)
        for number, name in enumerate(("t1", "t2")):
            if name in files:
                volume = read_volume(files[name])
                low, high = np.percentile(volume.array.astype(np.float32), [1, 99.5])
                channels[number] = self._cube(volume, (low, max(high, low + 1e-6)), files)
        return channels

    def histology(self, files: Sequence[Path]) -> np.ndarray:
        """(T, 3, h, w) uint8 of tiles: resized, and evenly chosen or repeated to fill the bag.

        Raises:
            ValueError: If a file cannot be read.
        """
        wanted = np.arange(self.tiles)
        chosen = (wanted % len(files) if len(files) < self.tiles else wanted * len(files) // self.tiles).tolist()
        size = (self.tile_size, self.tile_size)
        read = {number: read_picture(files[number], colour=True, size=size) for number in sorted(set(chosen))}
        bag = np.rint(np.stack([read[number] for number in chosen])).astype(np.uint8).transpose(0, 3, 1, 2)
        if not self.macenko:
            return bag
        side_by_side = torch.from_numpy(bag).transpose(0, 1).flatten(1, 2)  # all tiles have the stains of one slide
        image, _ = MacenkoNormalizer()(side_by_side)
        return image.unflatten(1, (self.tiles, -1)).transpose(0, 1).contiguous().numpy()

    def _cube(self, volume: Volume, window: Sequence[float], files: Mapping[str, Path]) -> np.ndarray:
        """(D, H, W) uint8, 0 to 255 for `window`: resampled linearly, cut or padded with 0."""
        low, high = window
        image = np.clip((volume.array.astype(np.float32) - low) / (high - low), 0, 1).astype(np.float32)
        scale = np.array(volume.spacing) / np.array(self.spacing)
        wanted = tuple(max(1, round(n * each)) for n, each in zip(image.shape, scale, strict=True))
        if wanted != image.shape:
            image = F.interpolate(torch.from_numpy(image)[None, None], wanted, mode="trilinear")[0, 0].numpy()
        middle = (self._middle(volume, files) + 0.5) * scale
        corner = [round(float(at - side / 2)) for at, side in zip(middle, self.size, strict=True)]
        return np.rint(crop(image[None], corner, self.size)[0] * 255).astype(np.uint8)

    def _middle(self, image: Volume, files: Mapping[str, Path]) -> np.ndarray:
        """Centre of the crop in voxels z, y, x: of the label's bounding box, mapped by mm, or of the image."""
        shape = np.array(image.grid.shape)
        if "liver" in files and self.around != "image":
            labels = read_mask(files["liver"])
            places = np.argwhere(_largest(labels.array == _LESION) if self.around == "lesion" else labels.array > 0)
            places = places if len(places) else np.argwhere(labels.array > 0)
            if len(places):
                voxel = (places.min(0) + places.max(0))[::-1] / 2
                place = np.linalg.solve(image.affine, labels.affine @ np.array([*voxel, 1.0]))[:3][::-1]
                if ((place > -_TOLERANCE) & (place < shape + _TOLERANCE)).all():
                    return place
        return (shape - 1) / 2


def read_images(patients: Sequence[Patient], present: np.ndarray, modality: str, sizes: ImageSizes) -> Tensor:
    """(N, *shape) uint8 of `ct`, `mr` or `histology` of N patients; 0 where `present` (N,) is False.

    Raises:
        ValueError: If a file is invalid; the message names it.
    """
    files = [file for patient in patients for file in (*patient.volumes.values(), *patient.tiles)]
    versions = tuple((file, file.stat().st_mtime_ns) for file in files)
    key = (modality, sizes, versions, tuple(present.tolist()))
    if key in _READ:
        return _READ[key]
    images = torch.zeros((len(patients), *sizes.shape(modality)), dtype=torch.uint8)
    wanted = np.flatnonzero(present).tolist()
    for index in track(wanted, f"reading {modality}", transient=True, disable=len(wanted) < 20):
        images[index] = torch.from_numpy(sizes.read(patients[index], modality))
    if len(_READ) >= _SETS:
        _READ.clear()
    _READ[key] = images
    return images


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part."""
    parts, count = ndimage.label(mask)
    return parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1 if count else mask
