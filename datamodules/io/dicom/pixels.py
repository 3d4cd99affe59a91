"""Decode the pixels of DICOM files, compressed or not, and rescale them, such as to Hounsfield units.

pydicom decodes raw, deflated and RLE pixels; SimpleITK all kinds of JPEG (baseline, lossless, LS, 2000), bit for bit.
"""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.encaps import generate_frames
from pydicom.uid import RLELossless

from medzoo.datamodules.io.dicom.files import decoding, read_dataset
from medzoo.datamodules.io.dicom.frames import Frame

__all__ = ["read_values", "stored_values"]

log = logging.getLogger(__name__)

_AIR, _METAL = -1024, 3071  # HU that 12 bits can hold; scanners mark what they did not see with less
_PIXELS = """SOPClassUID SOPInstanceUID Rows Columns SamplesPerPixel NumberOfFrames BitsAllocated BitsStored HighBit
PixelRepresentation PixelData"""


def read_values(frames: list[Frame]) -> list[np.ndarray]:
    """Read pixels (rows, columns) of each frame, float32; CT in HU from -1024 to 3071. Each file is read once.

    MONOCHROME1 only affects the display, so it is ignored. Padding becomes air.

    Raises:
        ValueError: If pixels are damaged, or do not match the header.
    """
    found: dict[tuple[Path, int], np.ndarray] = {}
    by_file: dict[Path, list[Frame]] = {}
    for frame in frames:
        by_file.setdefault(frame.file, []).append(frame)
    for file, held in by_file.items():
        with decoding(file, "its pixels"):
            dataset = read_dataset(file)
            for name in (*_PIXELS.split(), "PixelPaddingValue"):  # pydicom converts a value when it is looked at
                dataset.get(name)
            grey = str(dataset.PhotometricInterpretation).startswith("MONOCHROME")
        if not grey:
            raise ValueError(f"{file}: PhotometricInterpretation is not MONOCHROME2, grey values; leave it out")
        stored = stored_values(file, dataset)
        for frame in held:
            found[file, frame.number] = _values(stored[frame.number], frame, dataset)
    return [found[frame.file, frame.number] for frame in frames]


def stored_values(file: Path, dataset: pydicom.Dataset) -> np.ndarray:
    """Decode stored values (frames, rows, columns).

    Raises:
        ValueError: If they cannot be decoded, are not grey, or do not match the header.
    """
    with decoding(file, "pixels"):
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if "PixelData" not in dataset:
            raise ValueError("no pixels")
        packed = syntax is not None and syntax.is_encapsulated
        stored = _by_simpleitk(dataset) if packed and syntax != RLELossless else dataset.pixel_array
        count, rows, columns = int(dataset.get("NumberOfFrames") or 1), int(dataset.Rows), int(dataset.Columns)
        stored = stored.reshape(count, rows, columns)
        stray = not packed and _has_stray_bits(dataset, stored)
    if stray:
        raise ValueError(f"{file}: holds values that BitsStored {dataset.BitsStored} cannot; export the series again")
    return stored


def _by_simpleitk(dataset: pydicom.Dataset) -> np.ndarray:
    """Decode a copy with pixels only: with the full header, ITK rescales some files and inverts MONOCHROME1."""
    count = int(dataset.get("NumberOfFrames") or 1)
    for frame in generate_frames(dataset.PixelData, number_of_frames=count):
        if not frame.rstrip(b"\0").endswith(b"\xff\xd9"):  # decoders fill up a picture without its end
            raise EOFError("a frame is cut short")
    bare = pydicom.Dataset()
    bare.file_meta = dataset.file_meta
    bare.PhotometricInterpretation = "MONOCHROME2"
    for name in _PIXELS.split():
        if name in dataset:
            bare[name] = dataset[name]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pixels.dcm"
        bare.save_as(file, enforce_file_format=True)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(file)))


def _has_stray_bits(dataset: pydicom.Dataset, stored: np.ndarray) -> bool:
    """Whether more bits are used than the header says; pydicom would silently cut them off."""
    bits, allocated = int(dataset.BitsStored), int(dataset.BitsAllocated)
    if allocated == 1:
        return False
    if int(dataset.get("HighBit", bits - 1)) != bits - 1:
        return True
    overlay = any(dataset[group, 0x0102].value for group in range(0x6000, 0x6020, 2) if (group, 0x0102) in dataset)
    if bits >= allocated or overlay:
        return False
    raw = np.frombuffer(dataset.PixelData, stored.dtype, stored.size).reshape(stored.shape)
    return bool(((raw != stored) & (raw != (stored & ((1 << bits) - 1)))).any())


def _values(stored: np.ndarray, frame: Frame, dataset: pydicom.Dataset) -> np.ndarray:
    whole = frame.slope == 1 and frame.intercept.is_integer() and stored.itemsize <= 2  # exact in 32 bits then
    values: np.ndarray = stored.astype(np.float32 if whole else np.float64)
    values = (values * frame.slope if frame.slope != 1 else values) + np.array(frame.intercept, values.dtype)
    if not frame.hounsfield:
        return values.astype(np.float32)
    padding = dataset.get("PixelPaddingValue")
    if isinstance(padding, int):
        padded = stored == np.array(padding).astype(stored.dtype)  # -2000 may be told as 63536
        values[padded & (values > _METAL)] = _AIR
    return np.clip(values, _AIR, _METAL, out=values).astype(np.float32, copy=False)
