"""DICOM segmentation objects: which series they outline, and their segments as masks on that series' grid.

After DICOM PS3.3 C.8.20 (Segmentation IOD). Frames are placed by position, never by their order, and segments are told
by label, never by number. Segments may overlap, so each is a mask of its own.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from datamodules.preparation.slices import Slices

__all__ = ["Series", "find_series", "read_segments"]

_TOLERANCE = 0.1  # mm


@dataclass(frozen=True)
class Series:
    """A folder of DICOM files.

    Attributes:
        folder: Holds the files.
        modality: Of DICOM, such as CT or SEG.
        uid: Series Instance UID.
        date: Study date, YYYYMMDD, empty where it is not told.
        study: Study Instance UID.
        refers_to: UID of the series that a segmentation outlines; empty for others.
    """

    folder: Path
    modality: str
    uid: str
    date: str
    study: str
    refers_to: str


def find_series(root: Path) -> list[Series]:
    """Every folder below `root` with DICOM files, described by the first of them."""
    found = []
    for folder in sorted(path for path in root.rglob("*") if path.is_dir()):
        for file in sorted(path for path in folder.iterdir() if path.is_file()):
            try:
                header = pydicom.dcmread(file, stop_before_pixels=True)
            except (InvalidDicomError, OSError, EOFError):
                continue
            refers = header.get("ReferencedSeriesSequence") or []
            found.append(
                Series(
                    folder,
                    str(header.get("Modality", "")),
                    str(header.get("SeriesInstanceUID", "")),
                    str(header.get("StudyDate", "") or ""),
                    str(header.get("StudyInstanceUID", "")),
                    str(refers[0].SeriesInstanceUID) if refers else "",
                )
            )
            break
    return found


def read_segments(folder: Path, slices: Slices) -> dict[str, np.ndarray]:
    """Masks by label, in lower case.

    Args:
        folder: With the one file of the segmentation.
        slices: The CT that it outlines.

    Returns:
        (slices, rows, columns) bool for each segment.

    Raises:
        ValueError: If there is no such file, or it does not lie on the grid of the CT.
    """
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    try:
        seg = pydicom.dcmread(files[0])
        frames = np.asarray(seg.pixel_array, bool)
    except (IndexError, InvalidDicomError, OSError, EOFError, AttributeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{folder}: no readable DICOM segmentation ({error})") from error
    frames = frames[None] if frames.ndim == 2 else frames
    if frames.shape[1:] != slices.pixels.shape[1:]:
        raise ValueError(f"{files[0]}: frames of {frames.shape[1:]} pixels, the CT has {slices.pixels.shape[1:]}")
    labels = {int(each.SegmentNumber): str(each.SegmentLabel).strip().casefold() for each in seg.SegmentSequence}
    masks = {label: np.zeros(slices.pixels.shape, bool) for label in labels.values()}
    for frame, said in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        number = int(said.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        position = np.array([float(v) for v in said.PlanePositionSequence[0].ImagePositionPatient])
        gaps = np.abs((position - slices.positions) @ slices.normal)
        if gaps.min() > _TOLERANCE:
            raise ValueError(f"{files[0]}: a frame at {position.tolist()} mm lies on no slice of the CT")
        masks[labels[number]][int(gaps.argmin())] |= _turned(frame, _orientation(seg, said), slices, files[0])
    return masks


def _orientation(seg: pydicom.Dataset, frame: pydicom.Dataset) -> np.ndarray:
    """(2, 3) unit vectors along a row and along a column; said for a frame or for all."""
    where = frame if "PlaneOrientationSequence" in frame else seg.SharedFunctionalGroupsSequence[0]
    said = where.PlaneOrientationSequence[0].ImageOrientationPatient
    return np.array([float(value) for value in said]).reshape(2, 3)


def _turned(frame: np.ndarray, axes: np.ndarray, slices: Slices, file: Path) -> np.ndarray:
    """A frame with rows and columns running as those of the CT."""
    along = np.array([axes[0] @ slices.row, axes[1] @ slices.column])
    if np.abs(along).min() < 0.99:
        raise ValueError(f"{file}: its frames are turned against the slices of the CT; export it anew")
    return frame[:: 1 if along[1] > 0 else -1, :: 1 if along[0] > 0 else -1]
