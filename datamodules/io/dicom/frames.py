"""One slice as DICOM describes it: where it lies and what its values mean, said for a file, all frames, or each.

After DICOM PS3.3 C.7.6.2 (Image Plane) and C.7.6.16 (Multi-frame Functional Groups).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import ArrayLike

from medzoo.datamodules.io.dicom.files import modality_of

__all__ = ["Frame", "frame_count", "frames_of", "functional_groups", "numbers", "value_of"]

_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
    "ReferencedSegmentNumber": "SegmentIdentificationSequence",
}
_WIDEST = 20.0  # mm of a pixel; a field of view of 700 mm has 35 of them
_RESCALED = 1e9  # no unit of an image goes beyond; PET in Bq/mL reaches millions
_NO_HU = "cannot be turned into HU"
_HU = ("HU", "HU_MOD", "US", "")  # US: unspecified


@dataclass(frozen=True)
class Frame:
    """A slice of a volume.

    Attributes:
        file: Holds it.
        number: Which of the file's frames it is, from 0.
        shape: Rows and columns.
        position: (3,) LPS position in mm of the first pixel's centre.
        axes: (2, 3) cosines along a row and along a column.
        spacing: (2,) mm between rows, and between columns.
        slope: Of one stored unit, in HU for CT.
        intercept: Of a stored zero, likewise.
        thickness: Mm, 1 where it is not told.
        hounsfield: Whether it is of CT.
    """

    file: Path
    number: int
    shape: tuple[int, int]
    position: np.ndarray
    axes: np.ndarray
    spacing: np.ndarray
    slope: float
    intercept: float
    thickness: float = 1.0
    hounsfield: bool = True


def frames_of(file: Path, header: pydicom.Dataset) -> list[Frame]:
    """The slices that a file holds.

    Raises:
        ValueError: If something that is needed is not said, or is no possible value.
    """
    levels = functional_groups(file, header)
    if len(levels) < frame_count(file, header):
        raise ValueError(
            f"{file}: is a multi-frame image without a place for each; expected classic CT with one slice a file, or "
            "enhanced CT (convert with dcm4che emf2sf)"
        )
    rows, columns = (int(numbers(file, name, header.get(name), 1)[0]) for name in ("Rows", "Columns"))
    if min(rows, columns) < 1:
        raise ValueError(f"{file}: {rows} Rows and {columns} Columns; export the series anew, or leave the file out")
    return [_frame(file, number, (rows, columns), level, modality_of(header)) for number, level in enumerate(levels)]


def functional_groups(file: Path, header: pydicom.Dataset) -> list[tuple[pydicom.Dataset, ...]]:
    """For each frame of a file the places that may describe it, in order of precedence."""
    frames = header.get("PerFrameFunctionalGroupsSequence")
    shared = header.get("SharedFunctionalGroupsSequence") or []
    if not frames:
        return [(*shared[:1], header)]
    if len(frames) != frame_count(file, header):
        raise ValueError(f"{file}: describes {len(frames)} frames and has {frame_count(file, header)}; export it anew")
    return [(frame, *shared[:1], header) for frame in frames]


def frame_count(file: Path, header: pydicom.Dataset) -> int:
    """How many frames a file holds.

    Raises:
        ValueError: If its header does not say so in a number.
    """
    return int(numbers(file, "NumberOfFrames", header.get("NumberOfFrames") or 1, 1)[0])


def value_of(name: str, levels: tuple[pydicom.Dataset, ...]) -> ArrayLike | None:
    """A value as it is said for a frame, else for all, else in the header; None where it is not."""
    for level in levels:
        group = level.get(_GROUPS[name]) or [level]
        if group[0].get(name) is not None:
            return group[0].get(name)
    return None


def numbers(file: Path, name: str, value: ArrayLike | None, count: int) -> np.ndarray:
    """A value as so many finite numbers.

    Raises:
        ValueError: If it is something else.
    """
    if value is None or value == "":
        raise ValueError(f"{file}: has no {name}; export the series anew, or leave the file out")
    try:
        found = np.array(value, float).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        found = np.array([])
    if len(found) != count or not np.isfinite(found).all():
        raise ValueError(f"{file}: {name} is not {count} finite numbers; export the series anew, or leave the file out")
    return found


def _frame(
    file: Path, number: int, shape: tuple[int, int], levels: tuple[pydicom.Dataset, ...], modality: str
) -> Frame:
    def read(name: str, count: int, absent: float | None = None) -> np.ndarray:
        value = value_of(name, levels)
        return numbers(file, name, absent if value is None else value, count)

    def one(name: str, absent: float | None = None) -> float:
        return float(read(name, 1, absent)[0])

    if modality == "CT":
        _check_hu(file, levels)
    slope, intercept = one("RescaleSlope", 1), one("RescaleIntercept", 0)
    if slope <= 0:
        raise ValueError(f"{file}: RescaleSlope {slope:g} is not above 0; export the series anew")
    if max(slope, abs(intercept)) > _RESCALED:
        raise ValueError(f"{file}: RescaleSlope {slope:g} and RescaleIntercept {intercept:g}; export the series anew")
    spacing = read("PixelSpacing", 2)
    if spacing.min() <= 0 or spacing.max() > _WIDEST:
        raise ValueError(
            f"{file}: PixelSpacing {spacing.tolist()} mm is not possible for {modality}; export the series anew"
        )
    axes, place = read("ImageOrientationPatient", 6).reshape(2, 3), read("ImagePositionPatient", 3)
    thickness = one("SliceThickness", 1) or 1.0
    return Frame(file, number, shape, place, axes, spacing, slope, intercept, abs(thickness), modality == "CT")


def _check_hu(file: Path, levels: tuple[pydicom.Dataset, ...]) -> None:
    """That values of CT can be turned into HU."""
    if value_of("RescaleSlope", levels) is None or value_of("RescaleIntercept", levels) is None:
        raise ValueError(f"{file}: no RescaleSlope and RescaleIntercept, so its values {_NO_HU}")
    if str(value_of("RescaleType", levels) or "").strip().upper() not in _HU:
        raise ValueError(f"{file}: RescaleType is not HU, so its values {_NO_HU}; export the series anew")
