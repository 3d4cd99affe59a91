"""Read CT, MR and tiles at one size: volumes resampled and cropped around the target, tiles in bags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from medzoo.datamodules.io import Volume, check_hu, read_mask, read_volume
from medzoo.datamodules.io.pictures.pages import read_picture
from medzoo.datamodules.liver.records import IMAGES, Patient
from medzoo.datamodules.segmentation.cases import crop
from medzoo.datamodules.transforms.macenko import MacenkoNormalizer

__all__ = ["Around", "ImageSizes"]

Around = Literal["image", "liver", "lesion"]
"""Centre of the crop: of the image, the liver, or its largest lesion."""

_TOLERANCE = 1e-3  # mm
_LESION = 2  # the label


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

    def key(self, modality: str) -> tuple[object, ...]:
        """The values that the images of a modality depend on."""
        if modality == "histology":
            return self.tiles, self.tile_size, self.macenko
        return self.size, self.spacing, self.around, self.hu_window if modality == "ct" else None

    def files(self, patient: Patient, modality: str) -> list[tuple[str, Path]]:
        """What the images of a modality are read from: kinds and files."""
        if modality == "histology":
            return [("tile", file) for file in self.bag(patient.tiles)]
        kinds = [*(("ct",) if modality == "ct" else ("t1", "t2")), *(() if self.around == "image" else ("liver",))]
        return [(kind, patient.volumes[kind]) for kind in kinds if kind in patient.volumes]

    def read(self, patient: Patient, modality: str) -> np.ndarray:
        """(*shape) uint8; see the method of the modality."""
        if modality == "histology":
            return self.histology(patient.tiles)
        return self.ct(patient.volumes) if modality == "ct" else self.mr(patient.volumes)

    def ct(self, files: Mapping[str, Path]) -> np.ndarray:
        """(1, D, H, W) uint8 of the file `ct`, and `liver` if there is one.

        Raises:
            ValueError: If a file cannot be read, holds NaN, or is not CT in HU.
        """
        ct = read_volume(files["ct"])
        check_hu(ct.array, files["ct"])
        return self._cube(ct, self.hu_window, self._centre(files))[None]

    def mr(self, files: Mapping[str, Path]) -> np.ndarray:
        """(2, D, H, W) uint8 of the files `t1`, `t2` or both, and `liver` if there is one; a missing channel is 0.

        The 1st percentile becomes 0 and the 99.5th 255, since MR has no unit.

        Raises:
            ValueError: If a file cannot be read or holds NaN.
        """
        channels, centre = np.zeros((2, *self.size), np.uint8), self._centre(files)
        for number, name in enumerate(("t1", "t2")):
            if name in files:
                volume = read_volume(files[name])
                low, high = np.percentile(volume.array.astype(np.float32), [1, 99.5])
                channels[number] = self._cube(volume, (low, max(high, low + 1e-6)), centre)
        return channels

    def histology(self, files: Sequence[Path]) -> np.ndarray:
        """(T, 3, h, w) uint8 of tiles: resized, and evenly chosen or repeated to fill the bag.

        Raises:
            ValueError: If a file cannot be read.
        """
        chosen, size = self.bag(files), (self.tile_size, self.tile_size)
        read = {file: read_picture(file, colour=True, size=size) for file in dict.fromkeys(chosen)}
        bag = np.rint(np.stack([read[file] for file in chosen])).astype(np.uint8).transpose(0, 3, 1, 2)
        if not self.macenko:
            return bag
        side_by_side = torch.from_numpy(bag).transpose(0, 1).flatten(1, 2)  # all tiles have the stains of one slide
        image, _ = MacenkoNormalizer()(side_by_side)
        return image.unflatten(1, (self.tiles, -1)).transpose(0, 1).contiguous().numpy()

    def bag(self, files: Sequence[Path]) -> list[Path]:
        """The tiles of a bag, in order of name."""
        count = len(files)
        return [files[n % count if count < self.tiles else n * count // self.tiles] for n in range(self.tiles)]

    def _cube(self, volume: Volume, window: Sequence[float], centre: np.ndarray | None) -> np.ndarray:
        """(D, H, W) uint8, 0 to 255 for `window`: resampled linearly, cut or padded with 0 around a place in mm."""
        low, high = window
        image = np.clip((volume.array.astype(np.float32) - low) / (high - low), 0, 1).astype(np.float32)
        scale = np.array(volume.spacing) / np.array(self.spacing)
        wanted = tuple(max(1, round(n * each)) for n, each in zip(image.shape, scale, strict=True))
        if wanted != image.shape:
            image = F.interpolate(torch.from_numpy(image)[None, None], wanted, mode="trilinear")[0, 0].numpy()
        middle = (_voxel(volume, centre) + 0.5) * scale
        corner = [round(float(at - side / 2)) for at, side in zip(middle, self.size, strict=True)]
        return np.rint(crop(image[None], corner, self.size)[0] * 255).astype(np.uint8)

    def _centre(self, files: Mapping[str, Path]) -> np.ndarray | None:
        """Place (x, y, z, 1) in mm of the middle of the label's bounding box; None without a label."""
        if "liver" not in files or self.around == "image":
            return None
        labels = read_mask(files["liver"])
        places = np.argwhere(_largest(labels.array == _LESION) if self.around == "lesion" else labels.array > 0)
        places = places if len(places) else np.argwhere(labels.array > 0)
        if not len(places):
            return None
        voxel = (places.min(0) + places.max(0))[::-1] / 2
        return np.asarray(labels.affine @ np.array([*voxel, 1.0]))


def _voxel(image: Volume, centre: np.ndarray | None) -> np.ndarray:
    """Centre of the crop in voxels z, y, x: of a place in mm if it is in the image, else the middle."""
    shape = np.array(image.grid.shape)
    if centre is not None:
        place = np.linalg.solve(image.affine, centre)[:3][::-1]
        if ((place > -_TOLERANCE) & (place < shape + _TOLERANCE)).all():
            return place
    return (shape - 1) / 2


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part."""
    parts, count = ndimage.label(mask)
    return parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1 if count else mask
