"""The modalities of many patients as tensors: what a patient lacks, or has lost, is 0."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from datamodules.liver.records import Patient
from datamodules.liver.volumes import Around, read_ct, read_mr, read_tiles
from datamodules.transforms.macenko import MacenkoNormalizer

__all__ = ["ImageSizes", "read_images", "stack_tables"]


@dataclass(frozen=True)
class ImageSizes:
    """How images are brought to one size.

    Attributes:
        size: Voxels z, y, x of CT and MR.
        spacing: Mm of a voxel.
        hu_window: HU that become 0 and 1.
        tiles: In a bag.
        tile_size: Edge of a tile in pixels.
        macenko: Whether the stains of a patient's tiles are brought to a reference.
        around: What CT and MR are cut around.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    hu_window: tuple[float, ...]
    tiles: int
    tile_size: int
    macenko: bool = False
    around: Around = "liver"

    def shape(self, modality: str) -> tuple[int, ...]:
        """Of one patient's images."""
        return {
            "ct": (1, *self.size),
            "mr": (2, *self.size),
            "histology": (self.tiles, 3, self.tile_size, self.tile_size),
        }[modality]

    def read(self, patient: Patient, modality: str) -> np.ndarray:
        """(*shape) uint8."""
        cut: dict[str, Any] = {"size": self.size, "spacing": self.spacing, "around": self.around}
        if modality == "ct":
            return read_ct(patient.volumes, hu_window=self.hu_window, **cut)
        if modality == "mr":
            return read_mr(patient.volumes, **cut)
        bag = read_tiles(patient.tiles, self.tiles, self.tile_size)
        return _normalised(bag) if self.macenko else bag


_READ: dict[str, Tensor] = {}
"""Images that were read last, so that a run of several stages reads its cohort once."""

_SETS = 9  # three modalities of images in three splits


def read_images(patients: Sequence[Patient], present: np.ndarray, modality: str, sizes: ImageSizes) -> Tensor:
    """Images of one modality.

    Args:
        patients: N.
        present: (N,) bool.
        modality: `ct`, `mr` or `histology`.
        sizes: What they are brought to.

    Returns:
        (N, *shape) uint8.

    Raises:
        ValueError: If a file is not as it should be; the message names it.
    """
    files = [file for patient in patients for file in (*patient.volumes.values(), *patient.tiles)]
    versions = [(str(file), file.stat().st_mtime_ns) for file in files]
    key = sha256(repr((modality, sizes, versions, present.tolist())).encode()).hexdigest()
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


def stack_tables(rows: Sequence[np.ndarray | None], present: np.ndarray, width: int) -> np.ndarray:
    """(N, width) float, NaN where a patient has none."""
    return np.stack(
        [row if there and row is not None else np.full(width, np.nan) for row, there in zip(rows, present, strict=True)]
    )


def _normalised(bag: np.ndarray) -> np.ndarray:
    """A bag (T, 3, h, w) as one image, since all its tiles have the stains of one slide; without tissue it stays."""
    side_by_side = torch.from_numpy(bag).transpose(0, 1).flatten(1, 2)
    images, _ = MacenkoNormalizer()(side_by_side)
    return images.unflatten(1, (len(bag), -1)).transpose(0, 1).contiguous().numpy()
