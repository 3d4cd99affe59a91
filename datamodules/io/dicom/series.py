"""Read a series from a folder of DICOM files, as slices sorted along their normal; CT in Hounsfield units.

Geometry as in DICOM PS3.3 C.7.6.2 (Image Plane Module). File names and instance numbers are not used for the order.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom

from medzoo.datamodules.io.dicom.files import holds_dicom, slice_headers
from medzoo.datamodules.io.dicom.frames import Frame, frame_count, frames_of, numbers
from medzoo.datamodules.io.dicom.pixels import read_values
from medzoo.datamodules.io.dicom.slices import Slices

__all__ = ["holds_dicom", "read_series"]

log = logging.getLogger(__name__)

_SAME = {"shape": 0.0, "spacing": 1e-4, "axes": 1e-3}
"""How much slices may differ: headers are rounded, and cosines jitter by a few 1e-4 (a fifth of a pixel at the rim)."""

_Headers = list[tuple[Path, pydicom.Dataset]]


def read_series(
    path: Path, series: str | int | None = None, *, modalities: Sequence[str] = ("CT",), pixels: bool = True
) -> Slices:
    """Read one series in a folder, classic or enhanced.

    Localizers, secondary captures, other files and copies of a slice are left out and logged.

    Args:
        path: Folder with the DICOM files (no subfolders), or a multi-frame file.
        series: Number, description or UID of the series, if there are several.
        modalities: Modalities to read; others are left out.
        pixels: Whether to read pixels; without, all are 0, and only positions are read.

    Returns:
        The slices; CT in HU.

    Raises:
        ValueError: If there is no series, more than one, more than one patient, or slices with different geometry.
    """
    found = _one_series(slice_headers(path, modalities), path, series)
    frames = [frame for file, header in found for frame in frames_of(file, header)]
    if len(frames) < 2:
        kind = " or ".join(modalities)
        raise ValueError(
            f"{path}: {len(frames)} {kind} slices; expected a folder with the DICOM files of one {kind} series"
        )
    _check_same(frames)
    row, column = _axes(frames, path)
    normal = np.cross(row, column)
    frames.sort(key=lambda frame: float(normal @ frame.position))
    values = read_values(frames) if pixels else [np.broadcast_to(np.float32(0), frames[0].shape)] * len(frames)
    keep = _without_copies(frames, values, normal)
    kept = [frames[k] for k in keep]
    slices = Slices(
        np.stack([values[k] for k in keep]),
        np.array([frame.position for frame in kept]),
        row,
        column,
        (float(frames[0].spacing[0]), float(frames[0].spacing[1])),
        path,
        str(found[0][1].get("SeriesInstanceUID", "")),
        frames[0].hounsfield,
    )
    if pixels:
        _tell(slices, kept, found[0][1])
    return slices


def _one_series(found: _Headers, folder: Path, series: str | int | None) -> _Headers:
    """The headers of the requested series, or of the only one."""
    groups: dict[str, _Headers] = {}
    for file, header in found:
        groups.setdefault(str(header.get("SeriesInstanceUID", "")), []).append((file, header))
    if series is not None:
        asked = str(series).strip().casefold()
        chosen = {uid: group for uid, group in groups.items() if asked in _names(group[0][1])}
        if not chosen:
            raise ValueError(f"{folder}: no series {series!r}; there are {_told(groups)}")
        groups = chosen
    if len({str(header.get("PatientID", "")) for group in groups.values() for _, header in group}) > 1:
        raise ValueError(f"{folder}: slices of several patients; keep one patient's series in a folder")
    stacks = {uid: group for uid, group in groups.items() if _slice_count(group) > 1}
    if len(stacks) > 1:
        raise ValueError(
            f"{folder}: {len(stacks)} series: {_told(stacks)}; give each a folder of its own (of CT, the soft-"
            "tissue kernel's is the one), or name one by preparation.series=<number> (or description, or UID)"
        )
    if stacks and len(groups) > len(stacks):
        log.info("%s: left out %d series of one picture", folder, len(groups) - len(stacks))
    return next(iter((stacks or groups).values()), [])


def _names(header: pydicom.Dataset) -> set[str]:
    names = (header.get(name) for name in ("SeriesNumber", "SeriesDescription", "SeriesInstanceUID"))
    return {str(value).strip().casefold() for value in names if value not in (None, "")}


def _slice_count(group: _Headers) -> int:
    return sum(frame_count(file, header) for file, header in group)


def _told(groups: dict[str, _Headers]) -> str:
    """Describe series by number, description and number of slices; by UID if two have the same number."""
    numbers = Counter(str(group[0][1].get("SeriesNumber", "")) for group in groups.values())
    told = []
    for uid, group in groups.items():
        number = str(group[0][1].get("SeriesNumber", ""))
        name = f"number {number}" if number and number != "None" and numbers[number] == 1 else f"UID {uid}"
        told.append(f"{name} '{group[0][1].get('SeriesDescription', '')}' ({_slice_count(group)} slices)")
    return ", ".join(told) or "none"


def _check_same(frames: list[Frame]) -> None:
    """Check that all slices have the same geometry."""
    first = frames[0]
    names = {"shape": "Rows, Columns", "spacing": "PixelSpacing", "axes": "ImageOrientationPatient"}
    for name, tolerance in _SAME.items():
        values = np.array([getattr(frame, name) for frame in frames], float).reshape(len(frames), -1)
        same = np.isclose(values, values[0], atol=tolerance).all(1)
        if not same.all():
            raise ValueError(
                f"{frames[int(same.argmin())].file}: {names[name]} is not that of {first.file.name}; keep slices of "
                "one acquisition"
            )


def _axes(frames: list[Frame], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (LPS) along a row and along a column of the image."""
    cosines = np.median([frame.axes for frame in frames], axis=0)
    row, column = cosines
    if not np.allclose(cosines @ cosines.T, np.eye(2), atol=1e-2):
        raise ValueError(f"{folder}: ImageOrientationPatient {cosines.ravel().tolist()} is not a pair of unit vectors")
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row  # rounded in the file
    return row, column / np.linalg.norm(column)


def _without_copies(frames: list[Frame], pixels: list[np.ndarray], normal: np.ndarray) -> list[int]:
    """Indices of the slices, one for each position.

    Raises:
        ValueError: If two slices at one position differ: a second reconstruction, or the patient moved.
    """
    keep = [0]
    for k in range(1, len(frames)):
        file, before = frames[k].file, frames[keep[-1]].file
        if normal @ (frames[k].position - frames[keep[-1]].position) > 0.01:  # mm
            keep.append(k)
        elif np.array_equal(pixels[k], pixels[keep[-1]]):
            log.info("%s: a copy of %s, left out", file, before.name)
        else:
            raise ValueError(f"{file}: lies where {before.name} lies, with another picture; remove one of the two")
    if len(keep) < 2:
        raise ValueError(f"{frames[0].file.parent}: all slices lie at one place; expected one series")
    return keep


def _tell(slices: Slices, frames: list[Frame], header: pydicom.Dataset) -> None:
    """Log what is unusual: a gap, values without air, a gantry tilt that contradicts the positions (which count)."""
    gaps = np.diff(slices.heights)
    wide = np.flatnonzero(gaps > 1.5 * np.median(gaps))
    if len(wide):
        log.warning(
            "%s: %d wide gaps, the first of %.1f mm from %s to %s, where %.1f mm is usual; are slices missing?",
            slices.source,
            len(wide),
            gaps[wide[0]],
            frames[wide[0]].file.name,
            frames[wide[0] + 1].file.name,
            np.median(gaps),
        )
    if slices.hounsfield and slices.pixels.min() > -500:
        log.warning(
            "%s: values begin at %g HU, without air near -1000; is RescaleIntercept right?",
            slices.source, slices.pixels.min(),
        )  # fmt: skip
    stated = abs(
        numbers(slices.source, "GantryDetectorTilt", header.get("GantryDetectorTilt") or 0, 1)[0]
    )  # its sign differs between makers
    if abs(stated - slices.tilt) > 1:
        log.warning(
            "%s: GantryDetectorTilt says %.1f deg, the positions of the slices %.1f deg; the positions are trusted",
            slices.source,
            stated,
            slices.tilt,
        )
