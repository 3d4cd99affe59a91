"""Reads a CT series from a folder of DICOM files, as slices in Hounsfield units sorted along their normal.

Geometry as in DICOM PS3.3 C.7.6.2 (Image Plane Module). Names of files and instance numbers never make the order.
"""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_rescale

from datamodules.preparation.slices import Slices

__all__ = ["holds_dicom", "read_series"]

log = logging.getLogger(__name__)

_NEEDED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
_SAME = ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient")
_AIR, _METAL = -1024, 3071  # HU that 12 bits can hold; scanners mark what they did not see with less


def holds_dicom(folder: Path) -> bool:
    """Whether at least one file right in the folder is DICOM."""
    return any(_is_dicom(file) for file in sorted(folder.iterdir()) if file.is_file())


def read_series(folder: Path) -> Slices:
    """Read the one CT series in a folder.

    Localizers and files that are no CT image are left out, and so are copies of a slice; the log says so.

    Args:
        folder: Folder with one DICOM file a slice (no subfolders).

    Returns:
        Its slices in HU.

    Raises:
        ValueError: If there is no series, more than one, more than one patient, or slices that do not fit together.
    """
    datasets = _ct_images(folder)
    _check_one(datasets, folder)
    row, column = _axes(datasets[0][1], folder)
    normal = np.cross(row, column)
    datasets.sort(key=lambda item: float(normal @ _position(item[1])))
    pixels = [_hounsfield(file, dataset) for file, dataset in datasets]
    keep = _without_copies(datasets, pixels, normal)
    spacing = [float(s) for s in datasets[0][1].PixelSpacing]
    positions = np.array([_position(datasets[k][1]) for k in keep])
    slices = Slices(np.stack([pixels[k] for k in keep]), positions, row, column, (spacing[0], spacing[1]), folder)
    _compare_tilt(slices, datasets[0][1])
    return slices


def _is_dicom(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _ct_images(folder: Path) -> list[tuple[Path, pydicom.Dataset]]:
    """CT images of the folder with what is needed of their header, in order of name."""
    images: list[tuple[Path, pydicom.Dataset]] = []
    left_out = Counter[str]()
    for file in sorted(folder.iterdir()):
        if not file.is_file():
            continue
        try:
            dataset = pydicom.dcmread(file)
        except (InvalidDicomError, OSError, EOFError):
            left_out["no DICOM"] += 1
            continue
        if dataset.get("Modality") != "CT" or "PixelData" not in dataset:
            left_out["no CT image"] += 1
        elif "LOCALIZER" in dataset.get("ImageType", []):
            left_out["localizer"] += 1
        else:
            images.append((file, dataset))
    if left_out:
        log.info("%s: left out %s", folder, ", ".join(f"{n} files ({why})" for why, n in left_out.items()))
    if len(images) < 2:
        raise ValueError(f"{folder}: {len(images)} CT slices; expected a folder with the DICOM files of one CT series")
    return images


def _check_one(datasets: list[tuple[Path, pydicom.Dataset]], folder: Path) -> None:
    """One patient, one series, one geometry."""
    for file, dataset in datasets:
        missing = [name for name in _NEEDED if dataset.get(name) is None]
        if missing or int(dataset.get("NumberOfFrames") or 1) > 1:
            what = f"has no {missing[0]}" if missing else "is a multi-frame image"
            raise ValueError(f"{file}: {what}; expected classic CT with one slice a file (convert with dcm4che emf2sf)")
    if len({str(dataset.get("PatientID", "")) for _, dataset in datasets}) > 1:
        raise ValueError(f"{folder}: slices of several patients; keep one patient's series in a folder")
    series = Counter(str(dataset.get("SeriesInstanceUID", "")) for _, dataset in datasets)
    if len(series) > 1:
        counts = " and ".join(str(n) for n in series.values())
        raise ValueError(f"{folder}: {len(series)} series (of {counts} slices); keep one, the soft-tissue kernel's")
    first_file, first = datasets[0]
    for file, dataset in datasets[1:]:
        for name in _SAME:
            if not np.allclose(np.asarray(dataset[name].value, float), np.asarray(first[name].value, float), atol=1e-4):
                raise ValueError(f"{file}: {name} is not that of {first_file.name}; keep slices of one acquisition")


def _axes(dataset: pydicom.Dataset, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (LPS) along a row and along a column of the image."""
    cosines = np.array([float(v) for v in dataset.ImageOrientationPatient]).reshape(2, 3)
    row, column = cosines
    if not np.allclose(cosines @ cosines.T, np.eye(2), atol=1e-2):
        raise ValueError(f"{folder}: ImageOrientationPatient {cosines.ravel().tolist()} is not a pair of unit vectors")
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row  # rounded in the file
    return row, column / np.linalg.norm(column)


def _position(dataset: pydicom.Dataset) -> np.ndarray:
    return np.array([float(v) for v in dataset.ImagePositionPatient])


def _hounsfield(file: Path, dataset: pydicom.Dataset) -> np.ndarray:
    """Pixels of one slice (rows, columns) in HU, float32."""
    if "RescaleSlope" not in dataset or "RescaleIntercept" not in dataset:
        raise ValueError(f"{file}: no RescaleSlope and RescaleIntercept, so its values cannot be turned into HU")
    try:
        stored = dataset.pixel_array
    except (RuntimeError, NotImplementedError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{file}: pixels cannot be read ({type(error).__name__}); if they are compressed, "
            "run gdcmconv --raw on them first, else copy the file again"
        ) from error
    return np.clip(apply_rescale(stored, dataset), _AIR, _METAL).astype(np.float32)


def _without_copies(
    datasets: list[tuple[Path, pydicom.Dataset]], pixels: list[np.ndarray], normal: np.ndarray
) -> list[int]:
    """Indices of the slices, one for each position.

    Raises:
        ValueError: If two slices at one position differ: a second reconstruction, or the patient moved.
    """
    keep = [0]
    for k in range(1, len(datasets)):
        file, before = datasets[k][0], datasets[keep[-1]][0]
        if normal @ (_position(datasets[k][1]) - _position(datasets[keep[-1]][1])) > 0.01:  # mm
            keep.append(k)
        elif np.array_equal(pixels[k], pixels[keep[-1]]):
            log.info("%s: a copy of %s, left out", file, before.name)
        else:
            raise ValueError(f"{file}: lies where {before.name} lies, with another picture; remove one of the two")
    return keep


def _compare_tilt(slices: Slices, dataset: pydicom.Dataset) -> None:
    """Say so when the header's gantry tilt is not in the positions of the slices: those are trusted."""
    stated = abs(float(dataset.get("GantryDetectorTilt") or 0))  # its sign differs between makers
    if abs(stated - slices.tilt) > 1:
        log.warning(
            "%s: GantryDetectorTilt says %.1f deg, the positions of the slices %.1f deg; the positions are trusted",
            slices.source,
            stated,
            slices.tilt,
        )
