"""Images and outcomes of many patients as tensors: an image that a patient lacks, or has lost, is 0."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from datamodules.liver.records import IMAGES, Patient
from datamodules.liver.volumes import Around, read_ct, read_mr, read_tiles
from datamodules.transforms.macenko import MacenkoNormalizer

__all__ = ["ImageSizes", "outcomes_of", "read_images"]


@dataclass(frozen=True)
class ImageSizes:
    """How images are brought to one size.

    Attributes:
        size: Voxels z, y, x of CT and MR.
        spacing: Mm of a voxel.
        hu_window: HU that become 0 and 1.
        tiles: In a bag, each of `tile_size` pixels squared.
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
        if modality == "histology":
            return (self.tiles, 3, self.tile_size, self.tile_size)
        return (IMAGES[modality], *self.size)

    def read(self, patient: Patient, modality: str) -> np.ndarray:
        """(*shape) uint8."""
        cut: dict[str, Any] = {"size": self.size, "spacing": self.spacing, "around": self.around}
        if modality == "ct":
            return read_ct(patient.volumes, hu_window=self.hu_window, **cut)
        if modality == "mr":
            return read_mr(patient.volumes, **cut)
        bag = read_tiles(patient.tiles, self.tiles, self.tile_size)
        if not self.macenko:
            return bag
        side_by_side = torch.from_numpy(bag).transpose(0, 1).flatten(1, 2)  # all tiles have the stains of one slide
        image, _ = MacenkoNormalizer()(side_by_side)
        return image.unflatten(1, (len(bag), -1)).transpose(0, 1).contiguous().numpy()


_READ: dict[tuple, Tensor] = {}  # images that were read last, so that a run of several stages reads its cohort once
_SETS = 9  # three modalities of images in three splits


def read_images(patients: Sequence[Patient], present: np.ndarray, modality: str, sizes: ImageSizes) -> Tensor:
    """(N, *shape) uint8 of `ct`, `mr` or `histology` of N patients; 0 of whom `present` (N,) bool leaves out.

    Raises:
        ValueError: If a file is not as it should be; the message names it.
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


def outcomes_of(patients: Sequence[Patient], scanners: Sequence[str]) -> dict[str, Tensor]:
    """`label`, `time`, `event` and `scanner` (N,) as batches hold them; the last is a place in `scanners`, or -1."""
    places = {name: number for number, name in enumerate(scanners)}
    return {
        "label": torch.tensor([patient.label for patient in patients], dtype=torch.int64),
        "time": torch.tensor([patient.months for patient in patients], dtype=torch.float32),
        "event": torch.tensor([patient.event for patient in patients], dtype=torch.bool),
        "scanner": torch.tensor([places.get(patient.scanner, -1) for patient in patients]),
    }
