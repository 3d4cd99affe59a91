"""Position and scaling of one slice in DICOM, stored for a file, all frames, or each frame.

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
        file: Its file.
        number: Index of the frame in the file, from 0.
        shape: Rows and columns.
        position: (3,) LPS position in mm of the first pixel's centre.
        axes: (2, 3) cosines along a row and along a column.
        spacing: (2,) mm between rows, and between columns.
        slope: Rescale slope, to HU for CT.
        intercept: Rescale intercept.
        thickness: Slice thickness in mm, 1 if missing.
        hounsfield: Whether it is CT.
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
    """The slices of a file.

    Raises:
        ValueError: If a needed value is missing or impossible.
    """
    levels = functional_groups(file, header)
    if len(levels) < frame_count(file, header):
        raise ValueError(
            f"{file}: is a multi-frame image without a position for each frame; expected classic CT with one slice a "
            "file, or "
            "enhanced CT (convert with dcm4che emf2sf)"
        )
    rows, columns = (int(numbers(file, name, header.get(name), 1)[0]) for name in ("Rows", "Columns"))
    if min(rows, columns) < 1:
        raise ValueError(f"{file}: {rows} Rows and {columns} Columns; export the series again, or leave the file out")
    return [_frame(file, number, (rows, columns), level, modality_of(header)) for number, level in enumerate(levels)]


def functional_groups(file: Path, header: pydicom.Dataset) -> list[tuple[pydicom.Dataset, ...]]:
    """The data sets that may describe each frame of a file, in order of precedence."""
    frames = header.get("PerFrameFunctionalGroupsSequence")
    shared = header.get("SharedFunctionalGroupsSequence") or []
    if not frames:
        return [(*shared[:1], header)]
    if len(frames) != frame_count(file, header):
        raise ValueError(f"{file}: describes {len(frames)} frames and has {frame_count(file, header)}; export it again")
    return [(frame, *shared[:1], header) for frame in frames]


def frame_count(file: Path, header: pydicom.Dataset) -> int:
    """Number of frames of a file.

    Raises:
        ValueError: If the number in its header is invalid.
    """
    return int(numbers(file, "NumberOfFrames", header.get("NumberOfFrames") or 1, 1)[0])


def value_of(name: str, levels: tuple[pydicom.Dataset, ...]) -> ArrayLike | None:
    """A value stored for a frame, else for all frames, else in the header; None if missing."""
    for level in levels:
        group = level.get(_GROUPS[name]) or [level]
        if group[0].get(name) is not None:
            return group[0].get(name)
    return None


def numbers(file: Path, name: str, value: ArrayLike | None, count: int) -> np.ndarray:
    """Convert a value to `count` finite numbers.

    Raises:
        ValueError: If it is not.
    """
    if value is None or value == "":
        raise ValueError(f"{file}: has no {name}; export the series again, or leave the file out")
    try:
        found = np.array(value, float).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        found = np.array([])
    if len(found) != count or not np.isfinite(found).all():
        raise ValueError(
            f"{file}: {name} is not {count} finite numbers; export the series again, or leave the file out"
        )
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
        raise ValueError(f"{file}: RescaleSlope {slope:g} is not above 0; export the series again")
    if max(slope, abs(intercept)) > _RESCALED:
        raise ValueError(f"{file}: RescaleSlope {slope:g} and RescaleIntercept {intercept:g}; export the series again")
    spacing = read("PixelSpacing", 2)
    if spacing.min() <= 0 or spacing.max() > _WIDEST:
        raise ValueError(
            f"{file}: PixelSpacing {spacing.tolist()} mm is not possible for {modality}; export the series again"
        )
    axes, place = read("ImageOrientationPatient", 6).reshape(2, 3), read("ImagePositionPatient", 3)
    thickness = one("SliceThickness", 1) or 1.0
    return Frame(file, number, shape, place, axes, spacing, slope, intercept, abs(thickness), modality == "CT")


def _check_hu(file: Path, levels: tuple[pydicom.Dataset, ...]) -> None:
    """Check that values of CT can be converted to HU."""
    if value_of("RescaleSlope", levels) is None or value_of("RescaleIntercept", levels) is None:
        raise ValueError(f"{file}: no RescaleSlope and RescaleIntercept, so its values {_NO_HU}")
    if str(value_of("RescaleType", levels) or "").strip().upper() not in _HU:
        raise ValueError(f"{file}: RescaleType is not HU, so its values {_NO_HU}; export the series again")
