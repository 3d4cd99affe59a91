"""Cases at the plan's spacing: read, clipped and resampled once, normalised when a part of them is taken.

Voxels are kept in 16 bits, from the lower to the upper bound of the intensities: as nnU-Net, images are clipped before
they are resampled. Mean and standard deviation are applied afterwards, so the folds of a cohort share their cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from medzoo.datamodules import io
from medzoo.datamodules.io.pictures.pages import is_picture
from medzoo.datamodules.segmentation.cases.grid import padded, resample
from medzoo.datamodules.segmentation.cases.intensities import Intensities
from medzoo.datamodules.segmentation.cases.places import places_of
from medzoo.datamodules.segmentation.cases.reading import read_files
from medzoo.datamodules.segmentation.files import CaseFiles
from medzoo.datamodules.skull import bone_share
from medzoo.datamodules.store import Made, StoredArray

__all__ = ["Case", "CaseReading", "make_case", "prepare_case", "read_case"]

Array = np.ndarray | StoredArray
_LEVELS = 65535


@dataclass(frozen=True)
class CaseReading:
    """How cases are read.

    Args:
        classes: Label values 0 to `classes - 1` are allowed.
        spacing: Spacing in mm to resample to, z first.
        bounds: Lowest and highest intensity of each channel; None for the 0.5th and 99.5th percentile of the channel.
        labels: Label value of the network by that of the file, if classes come in another order.
        ct: Whether the first channel of volumes is CT, which must be in HU.
        ignore: Label value of voxels that are not annotated.
        regions: Label values of each region, if labels are regions.
        colours: Of `CaseFiles`.
    """

    classes: int
    spacing: tuple[float, ...]
    bounds: tuple[tuple[float, float] | None, ...]
    labels: tuple[int, ...] | None = None
    ct: bool = False
    ignore: int | None = None
    regions: tuple[tuple[int, ...], ...] | None = None
    colours: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Case:
    """An image at the plan's spacing, in array order (z first), in memory or on disk."""

    id: str  # name of the case
    levels: Array  # (C, *spatial) uint16
    labels: Array | None  # (*spatial) uint8 label values at the plan's spacing, if there is a mask
    whole: Array | None  # (*spatial) uint8 mask as in the file
    places: Array  # (n, axes) voxels of each foreground class or region, one class after the other
    counts: tuple[int, ...]  # number of places of each class
    annotated: Array  # (n, axes) annotated voxels of a partly annotated case; none where any voxel will do
    blank: bool  # whether no voxel is annotated
    scale: tuple[tuple[float, float], ...]  # factor and offset of each channel, from levels to normalised intensities
    spacing: tuple[float, ...]  # mm of a voxel of the file
    size: tuple[int, ...]  # voxels of the file
    files: CaseFiles  # where it comes from
    bone: float | None = None  # share of bone in the first channel of a volume, if that is CT (`datamodules/skull.py`)

    @classmethod
    def of(
        cls, files: CaseFiles, arrays: dict[str, Any], facts: dict[str, Any], intensities: Sequence[Intensities | None]
    ) -> "Case":
        """The case of what `make_case` made, normalised by `intensities`; None maps the channel's bounds to [0, 1]."""
        scale = []
        for each, (low, high) in zip(intensities, facts["bounds"], strict=True):
            mean, std = (each.mean, each.std) if each else (low, high - low)
            std = max(std, 1e-8)
            scale.append(((high - low) / _LEVELS / std, (low - mean) / std))
        return cls(
            id=files.id,
            levels=arrays["levels"],
            labels=arrays.get("labels"),
            whole=arrays.get("whole", arrays.get("labels")),
            places=arrays["places"],
            annotated=arrays["annotated"],
            scale=tuple(scale),
            files=files,
            counts=tuple(facts["counts"]),
            blank=facts["blank"],
            spacing=tuple(facts["spacing"]),
            size=tuple(facts["size"]),
            bone=facts["bone"],
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels of the image."""
        return self.levels.shape[1:]

    @property
    def image(self) -> np.ndarray:
        """(C, *spatial) float32, normalised."""
        return self._normal(np.asarray(self.levels))

    @property
    def mask(self) -> np.ndarray | None:
        """(*spatial) uint8 label values at the plan's spacing, if there is a mask."""
        return None if self.labels is None else np.asarray(self.labels)

    @property
    def truth(self) -> np.ndarray | None:
        """(*spatial) uint8 mask as in the file, for scores."""
        return None if self.whole is None else np.asarray(self.whole)

    def cut(self, corner: Sequence[int], patch: Sequence[int]) -> np.ndarray:
        """A patch (C, *patch) float32 of the normalised image, 0 outside."""
        return padded(self.levels, corner, patch, self._normal)

    def cut_mask(self, corner: Sequence[int], patch: Sequence[int]) -> np.ndarray:
        """A patch (*patch) uint8 of the mask, background outside."""
        assert self.labels is not None, "training cases have masks"
        return padded(self.labels, corner, patch)

    def _normal(self, levels: np.ndarray) -> np.ndarray:
        factor, offset = np.array(self.scale, np.float32).T.reshape(2, -1, *[1] * (levels.ndim - 1))
        return levels.astype(np.float32) * factor + offset


def read_case(
    case: CaseFiles,
    classes: int,
    spacing: Sequence[float],
    intensities: Sequence[Intensities | None],
    labels: Sequence[int] | None = None,
    *,
    ct: bool = False,
) -> Case:
    """Read a case for a network, without keeping it; see `CaseReading` and `make_case`."""
    bounds = tuple(each.bounds if each else None for each in intensities)
    order = None if labels is None else tuple(labels)
    made = make_case(case, CaseReading(classes, tuple(spacing), bounds, order, ct, colours=case.colours))
    return Case.of(case, dict(made.arrays), dict(made.facts), intensities)


def make_case(case: CaseFiles, how: CaseReading) -> Made:
    """Read, check, clip and resample a case.

    Raises:
        ValueError: If files have different grids, hold NaN, are CT but not in HU, are volumes for a 2-D spacing or
            pictures for a 3-D one, or a label value is not in `dataset.json`.
    """
    image, mask, here = read_files(case, how.classes, len(how.spacing))
    if len(here) != len(how.spacing):
        raise ValueError(f"{case.images[0]}: a picture; the plan of this model is for volumes")
    if how.ct and not is_picture(case.images[0]):
        io.check_offset(image[0], case.images[0])
    return prepare_case(image, mask, here, how)


def prepare_case(image: np.ndarray, mask: np.ndarray | None, here: tuple[float, ...], how: CaseReading) -> Made:
    """Clip and resample an image (C, *spatial) and its mask (*spatial), whose voxels measure `here` mm."""
    if how.labels is not None and mask is not None:
        mask = np.asarray(how.labels, np.uint8)[mask]
    size = [round(n * old / new) for n, old, new in zip(image.shape[1:], here, how.spacing, strict=True)]
    bounds = [each or _percentiles(channel) for each, channel in zip(how.bounds, image, strict=True)]
    levels = [_levels(channel, *limits, size, here) for channel, limits in zip(image, bounds, strict=True)]
    arrays: dict[str, np.ndarray] = {"levels": np.stack(levels)}
    if mask is not None:
        arrays["labels"] = _resampled_labels(mask, how.classes, size, here)
        if arrays["labels"] is not mask:
            arrays["whole"] = mask
    arrays["places"], counts, arrays["annotated"], blank = places_of(arrays.get("labels"), how.ignore, how.regions)
    facts = {"bounds": bounds, "counts": counts, "blank": blank, "spacing": here, "size": image.shape[1:]}
    return Made(arrays, {**facts, "bone": bone_share(image[0])}, blocks=("levels", "labels", "whole"))


def _percentiles(image: np.ndarray) -> tuple[float, float]:
    """The 0.5th and 99.5th percentile of an image, whose intensities have no unit."""
    low, high = np.percentile(image, [0.5, 99.5])
    return float(low), float(high)


def _levels(image: np.ndarray, low: float, high: float, size: Sequence[int], spacing: Sequence[float]) -> np.ndarray:
    """An image (*spatial) as uint16 (*size): 0 for `low` and lower, 65535 for `high` and higher."""
    share = torch.from_numpy((np.clip(image, low, high) - low) / max(high - low, 1e-8)).float()[None]
    return (resample(share, size, spacing)[0] * _LEVELS).round().numpy().astype(np.uint16)


def _resampled_labels(mask: np.ndarray, classes: int, size: Sequence[int], spacing: Sequence[float]) -> np.ndarray:
    """Resample the share of every class and take the largest, one class at a time, so that memory stays small."""
    if list(mask.shape) == list(size):
        return mask
    best, labels = torch.full(tuple(size), -1.0), torch.zeros(tuple(size), dtype=torch.uint8)
    for value in range(classes):
        share = resample(torch.from_numpy(mask == value).float()[None], size, spacing)[0]
        labels[share > best] = value
        best = torch.maximum(best, share)
    return labels.numpy()
