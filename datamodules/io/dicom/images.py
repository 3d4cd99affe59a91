"""Read DICOM as volumes, and single files as pictures, like other formats."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import apply_modality_lut, pixel_array

from medzoo.datamodules.io.dicom.files import QUANTITIES, decoding, headers, modality_of, read_dataset
from medzoo.datamodules.io.dicom.frames import Frame, frame_count, frames_of
from medzoo.datamodules.io.dicom.pixels import read_values, stored_values
from medzoo.datamodules.io.dicom.series import read_series
from medzoo.datamodules.io.volumes.grid import LPS, Grid

__all__ = ["dicom_grid", "read_dicom", "read_pictures"]

_PIXEL = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""What may say the mm of a pixel of a picture: in the patient, at the detector, on a scanned film."""


def read_dicom(path: Path) -> tuple[np.ndarray, Grid]:
    """Read a folder with one series of CT, MR or PET, a multi-frame file, or a single picture.

    Returns:
        Values in the order slices, rows, columns, and their grid, whose axes are columns, rows, slices. CT is int16 in
        HU. A picture is one slice: for CT, MR and PET at its position; for others (X-ray, ultrasound, ...) an axial
        slice at 0, with white above black as in a viewer.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: As for `read_series`, or if a file is a colour picture or has frames without a position.
    """
    header = _single(path)
    if header is None:
        slices = read_series(path, modalities=QUANTITIES)
        return slices.to_array(), slices.grid()
    if frame := _placed(path, header):
        (values,) = read_values([frame])
        return (np.rint(values).astype(np.int16) if frame.hounsfield else values)[None], _grid_of(frame)
    shown = _frames(path)
    if len(shown) > 1 or shown[0].ndim == 3:
        kind = f"{len(shown)} frames without a position" if len(shown) > 1 else "a picture in colour"
        raise ValueError(f"{path}: {kind}; expected a volume, or a grey picture")
    return shown[0][None], _grid_of_picture(path, header)


def dicom_grid(path: Path) -> Grid:
    """The grid of `read_dicom`, from headers only.

    Raises:
        FileNotFoundError: As of `read_dicom`.
        ValueError: As of `read_dicom`.
    """
    header = _single(path)
    if header is None:
        return read_series(path, modalities=QUANTITIES, pixels=False).grid()
    frame = _placed(path, header)
    return _grid_of(frame) if frame else _grid_of_picture(path, header)


def read_pictures(file: Path) -> list[np.ndarray]:
    """Read the pictures of a file, usually one, rescaled, with white above black.

    Returns:
        Pictures (H, W), uint8 if 8 bits need no rescaling, or (H, W, 3) uint8 in colour.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, has a palette, or is a volume.
    """
    header = _single(file)
    if header is not None and not _placed(file, header):
        return _frames(file)
    values, grid = read_dicom(file)
    if not grid.is_slice:
        raise ValueError(f"{file}: a volume of {len(values)} slices; expected a picture")
    return [grid.to_picture(grid.to_array(values.T))]


def _frames(file: Path) -> list[np.ndarray]:
    """`read_pictures` of a file without a position."""
    with decoding(file, "its pixels"):
        dataset = read_dataset(file)
        kind = str(dataset.PhotometricInterpretation)
        colour = int(dataset.SamplesPerPixel) == 3
    if not colour and not kind.startswith("MONOCHROME"):
        raise ValueError(f"{file}: PhotometricInterpretation is {kind}; save it as grey values or as RGB")
    if colour:
        with decoding(file, "its pixels"):
            pixels = pixel_array(dataset, raw=False)
            pixels = pixels.reshape(-1, *pixels.shape[-3:])
        if pixels.dtype != np.uint8:
            raise ValueError(f"{file}: colours of more than 8 bits; save them with 8")
        return list(pixels)
    stored = stored_values(file, dataset)
    with decoding(file, "its values"):
        values = np.asarray(apply_modality_lut(stored, dataset))
        padded = stored == np.array(dataset.get("PixelPaddingValue", 0)).astype(stored.dtype)
    meant = np.array_equal(values, stored) and int(dataset.BitsStored) == 8 and stored.min() >= 0
    values = values.astype(np.uint8 if meant else np.float32)
    if not meant and "PixelPaddingValue" in dataset and not padded.all():  # it would take up the range
        values = np.where(padded, values[~padded].min(), values)
    if kind == "MONOCHROME1":
        values = ~values if values.dtype == np.uint8 else values.max() + values.min() - values
    return list(values)


def _single(path: Path) -> pydicom.Dataset | None:
    """The header of a file that is not a volume: one frame, or several without positions; else None."""
    if not path.exists():
        raise FileNotFoundError(f"no file {path}")
    if path.is_dir():
        return None
    found = headers(path)
    if not found:
        raise ValueError(f"{path}: holds no image; expected a picture or a series as DICOM")
    header = found[0][1]
    return None if frame_count(path, header) > 1 and _has_places(header) else header


def _has_places(header: pydicom.Dataset) -> bool:
    return bool(header.get("PerFrameFunctionalGroupsSequence"))


def _placed(file: Path, header: pydicom.Dataset) -> Frame | None:
    """The single slice of a file, if it has a position in the patient."""
    if modality_of(header) in QUANTITIES and ("ImagePositionPatient" in header or _has_places(header)):
        return frames_of(file, header)[0]
    return None


def _grid_of(frame: Frame) -> Grid:
    row, column = frame.axes
    lps = np.eye(4)
    normal = np.cross(row, column) * frame.thickness
    lps[:3, :3] = np.stack([row * frame.spacing[1], column * frame.spacing[0], normal], 1)
    lps[:3, 3] = frame.position
    return Grid((frame.shape[1], frame.shape[0], 1), LPS @ lps)


def _grid_of_picture(file: Path, header: pydicom.Dataset) -> Grid:
    """The grid of an axial slice at 0, displayed as stored."""
    sides = next((header.get(name) for name in _PIXEL if header.get(name)), (1.0, 1.0))
    with decoding(file, "the size of its pixels"):
        rows, columns = (float(side) for side in sides)
        if min(rows, columns) <= 0:
            raise ValueError("sizes are above 0")
    return Grid((int(header.Columns), int(header.Rows), 1), LPS @ np.diag([columns, rows, 1.0, 1.0]))
