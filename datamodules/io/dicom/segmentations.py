"""DICOM segmentation objects: the series that they refer to, and their segments as masks on its grid.

Follows DICOM PS3.3 C.8.20 (Segmentation IOD), for BINARY, FRACTIONAL and LABELMAP. Frames are matched by position, not
by order, and segments by label, not by number. Segments may overlap, so each is a mask of its own; slices without a
frame are empty. Read with pydicom, since highdicom refuses files without codes that are not needed here.
"""

import logging
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pydicom

from medzoo.datamodules.io.dicom.files import decoding, headers, read_dataset
from medzoo.datamodules.io.dicom.frames import functional_groups, numbers, value_of
from medzoo.datamodules.io.dicom.pixels import stored_values
from medzoo.datamodules.io.dicom.slices import Slices
from medzoo.datamodules.io.files import listed

__all__ = ["Series", "find_series", "read_segments"]

log = logging.getLogger(__name__)

_TOLERANCE = 0.1  # mm between a frame and its slice
_COSINES = 2e-3  # half a pixel at the rim

_Levels = tuple[pydicom.Dataset, ...]


@dataclass(frozen=True)
class Series:
    """A series of DICOM files in one folder.

    Attributes:
        folder: Folder of the files.
        modality: DICOM modality, such as CT or SEG.
        uid: Series Instance UID.
        date: Study date, YYYYMMDD, empty if missing.
        study: Study Instance UID.
        refers_to: UID of the series of a segmentation; empty for others.
    """

    folder: Path
    modality: str
    uid: str
    date: str
    study: str
    refers_to: str


def find_series(root: Path) -> list[Series]:
    """Find the series in all folders below `root`, in order of folder and UID.

    Raises:
        ValueError: If a DICOM file cannot be read.
    """
    found: dict[tuple[Path, str], Series] = {}
    for folder in (path for path in listed(root, "**/*") if path.is_dir()):
        for _, header in headers(folder):
            refers = header.get("ReferencedSeriesSequence") or []
            one = Series(
                folder,
                str(header.get("Modality", "")),
                str(header.get("SeriesInstanceUID", "")),
                str(header.get("StudyDate", "") or ""),
                str(header.get("StudyInstanceUID", "")),
                str(refers[0].get("SeriesInstanceUID", "")) if refers else "",
            )
            found.setdefault((folder, one.uid), one)
    return [found[key] for key in sorted(found)]


def read_segments(path: Path, slices: Slices) -> dict[str, np.ndarray]:
    """Read the masks of a segmentation by label, in lower case.

    Args:
        path: The file of the segmentation, or its folder.
        slices: The CT that it refers to.

    Returns:
        (slices, rows, columns) bool for each segment.

    Raises:
        ValueError: If there is no such file or more than one, or it refers to another series or has another grid.
    """
    file = path if path.is_file() else _only_file(path)
    with decoding(file, "a DICOM segmentation"):
        seg = read_dataset(file)
        names = {int(each.SegmentNumber): str(each.SegmentLabel).strip().casefold() for each in seg.SegmentSequence}
    _check_source(file, seg, slices)
    levels = functional_groups(file, seg)
    frames = stored_values(file, seg)
    if len(levels) != len(frames):
        raise ValueError(f"{file}: {len(frames)} frames without a position for each; export it again")
    if frames.shape[1:] != slices.pixels.shape[1:]:
        raise ValueError(f"{file}: frames of {frames.shape[1:]} pixels, the CT has {slices.pixels.shape[1:]}")
    masks = {name: np.zeros(slices.pixels.shape, bool) for name in names.values()}
    for frame, level in zip(frames, levels, strict=True):
        place, turn = _place(file, level, slices)
        for number, mask in _segments(file, seg, frame, level).items():
            if number not in names:
                raise ValueError(f"{file}: a frame is of segment {number}, which is not described; export it again")
            masks[names[number]][place] |= mask[turn]
    if seg.get("SegmentationType") == "LABELMAP":
        masks.pop(names.get(_background(seg), ""), None)
    _tell(file, names, masks)
    return masks


def _only_file(folder: Path) -> Path:
    found = [file for file, header in headers(folder) if header.get("Modality") == "SEG"]
    if len(found) != 1:
        raise ValueError(
            f"{folder}: {len(found)} files with a readable DICOM segmentation "
            f"({', '.join(file.name for file in found[:3]) or 'no file of modality SEG'}); keep one in a folder"
        )
    return found[0]


def _check_source(file: Path, seg: pydicom.Dataset, slices: Slices) -> None:
    """Check that the segmentation refers to this CT, as far as both have the information."""
    sources = {str(each.get("SeriesInstanceUID", "")) for each in seg.get("ReferencedSeriesSequence") or []} - {""}
    if slices.series and sources and slices.series not in sources:
        raise ValueError(f"{file}: outlines series {', '.join(sorted(sources))}, not {slices.series}; give that one")


def _segments(file: Path, seg: pydicom.Dataset, frame: np.ndarray, level: _Levels) -> dict[int, np.ndarray]:
    """The content of a frame: (rows, columns) bool by number of segment."""
    kind = str(seg.get("SegmentationType") or ("BINARY" if seg.BitsAllocated == 1 else "not told"))
    if kind == "LABELMAP":
        return {int(value): frame == value for value in np.unique(frame) if value != _background(seg)}
    number = int(numbers(file, "ReferencedSegmentNumber", value_of("ReferencedSegmentNumber", level), 1)[0])
    if kind == "BINARY":
        return {number: frame > 0}
    if kind != "FRACTIONAL":
        raise ValueError(f"{file}: SegmentationType is {kind}; expected BINARY, FRACTIONAL or LABELMAP")
    highest = numbers(file, "MaximumFractionalValue", seg.get("MaximumFractionalValue"), 1)[0]
    if highest <= 0 or frame.max() > highest:
        raise ValueError(f"{file}: values up to {frame.max()}, MaximumFractionalValue is {highest:g}; export it again")
    return {number: frame >= highest / 2}


def _background(seg: pydicom.Dataset) -> int:
    """The background value of a LABELMAP."""
    return int(seg.get("PixelPaddingValue") or 0)


def _place(file: Path, level: _Levels, slices: Slices) -> tuple[int, tuple[slice, slice]]:
    """The slice of a frame, and how to flip its rows and columns to match those of the CT."""
    axes = numbers(file, "ImageOrientationPatient", value_of("ImageOrientationPatient", level), 6).reshape(2, 3)
    signs = np.sign([axes[0] @ slices.row, axes[1] @ slices.column])
    if not np.allclose(axes * signs[:, None], [slices.row, slices.column], atol=_COSINES):
        raise ValueError(f"{file}: its frames are turned against the slices of the CT; export it again")
    if value_of("PixelSpacing", level) is not None:
        spacing = numbers(file, "PixelSpacing", value_of("PixelSpacing", level), 2)
        if not np.allclose(spacing, slices.spacing, rtol=1e-3):
            raise ValueError(f"{file}: pixels of {spacing.tolist()} mm, the CT has {list(slices.spacing)}")
    position = numbers(file, "ImagePositionPatient", value_of("ImagePositionPatient", level), 3)
    gaps = np.abs((position - slices.positions) @ slices.normal)
    place = int(gaps.argmin())
    if gaps[place] > _TOLERANCE:
        raise ValueError(f"{file}: a frame at {position.tolist()} mm is not on a slice of the CT")
    extent = (np.array(slices.pixels.shape[:0:-1]) - 1) * slices.spacing[::-1]  # along a row, along a column
    shift = (position - slices.positions[place]) @ np.stack([slices.row, slices.column], 1)
    if np.abs(shift - np.where(signs < 0, extent, 0)).max() > 0.25 * min(slices.spacing):
        raise ValueError(f"{file}: a frame at {position.tolist()} mm lies beside its slice of the CT; export it again")
    return place, (slice(None, None, int(signs[1])), slice(None, None, int(signs[0])))


def _tell(file: Path, names: dict[int, str], masks: dict[str, np.ndarray]) -> None:
    """Log which segments share voxels, and which share a label."""
    if len(set(names.values())) < len(names):
        log.warning("%s: segments with one label are taken together: %s", file, ", ".join(sorted(names.values())))
    for (one, first), (other, second) in combinations(masks.items(), 2):
        shared = int((first & second).sum())
        if shared:
            log.info("%s: segments '%s' and '%s' overlap in %d voxels", file, one, other, shared)
