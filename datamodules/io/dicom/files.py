"""Find the DICOM files of a folder and the slices among them; files left out are counted and logged.

Messages never contain a patient's name, only names of files and series, and kinds of errors.
"""

import logging
import mmap
import re
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pydicom
from pydicom import uid
from pydicom.errors import BytesLengthException, InvalidDicomError

from medzoo.datamodules.io.files import listed, opening
from medzoo.datamodules.io.volumes.formats import volume_ending

__all__ = [
    "DICOM",
    "QUANTITIES",
    "decoding",
    "headers",
    "holds_dicom",
    "is_dicom",
    "is_marked",
    "modality_of",
    "read_dataset",
    "slice_headers",
]

log = logging.getLogger(__name__)
logging.getLogger("pydicom").setLevel(logging.ERROR)  # its warnings repeat values, which may name a patient

_DAMAGED = (OSError, EOFError, ValueError, RuntimeError, ArithmeticError, LookupError, TypeError, AttributeError)
_DAMAGE = (*_DAMAGED, zlib.error, struct.error, InvalidDicomError, BytesLengthException)
DICOM = (".dcm", ".dicom", ".ima")
"""Endings of DICOM files, in lower case; many have none."""
QUANTITIES = ("CT", "MR", "PT")
"""Modalities whose slices form volumes, with values that do not depend on how they are displayed."""
_CT = (uid.CTImageStorage, uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage)
_READ = """Modality SOPClassUID ImageType PatientID StudyDate StudyInstanceUID SeriesInstanceUID SeriesNumber
SeriesDescription Rows Columns SamplesPerPixel NumberOfFrames PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing
SliceThickness ImagePositionPatient ImageOrientationPatient GantryDetectorTilt RescaleSlope RescaleIntercept RescaleType
ReferencedSeriesSequence SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"""


@contextmanager
def decoding(file: Path, what: str) -> Iterator[None]:
    """Turn errors of libraries into one line with the file's name and none of its content.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of a header is checked by name
            yield
    except _DAMAGE as error:
        raise ValueError(
            f"{file}: {what} cannot be read ({type(error).__name__}: cut short, damaged, or an unknown kind); "
            "copy the file again, convert it with gdcmconv --raw, or leave it out"
        ) from error


def read_dataset(file: Path, *, tags: list[str] | None = None) -> pydicom.Dataset:
    """Read a file; to be called within `decoding`.

    The file is mapped, so that a damaged length cannot ask for more memory than the file has.

    Args:
        file: The file.
        tags: Read only these, and no pixels.
    """
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return pydicom.dcmread(cast(BinaryIO, content), stop_before_pixels=tags is not None, specific_tags=tags)


def is_dicom(path: Path) -> bool:
    """Whether to read a path as DICOM: a folder, a file with a DICOM ending, or one with its mark and no ending."""
    if path.is_dir():
        return not volume_ending(path) or holds_dicom(path)  # else it is called as a file of another kind
    return path.suffix.lower() in DICOM or (path.is_file() and is_marked(path))


def is_marked(file: Path) -> bool:
    """Whether a file has the DICOM mark after its preamble."""
    with opening(file, "DICOM"), file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def holds_dicom(folder: Path) -> bool:
    """Whether a file directly in the folder is DICOM."""
    return any(_is_dicom(file) for file in listed(folder) if file.is_file())


def headers(path: Path) -> list[tuple[Path, pydicom.Dataset]]:
    """The DICOM files directly in a folder, in order of name, or one named file; with the needed part of their headers.

    Other files and a DICOMDIR are left out and counted.

    Raises:
        ValueError: If a file that should be DICOM is not, or cannot be read.
    """
    found, left_out = [], Counter[str]()
    for file in listed(path) if path.is_dir() else [path]:
        if not file.is_file():
            continue
        if not _is_dicom(file):
            left_out["no DICOM"] += 1
            continue
        with decoding(file, "its header"):
            header = read_dataset(file, tags=_READ.split())
            for part in (header.file_meta, header):
                for _ in part.iterall():  # pydicom converts a value when it is looked at
                    pass
        kind = _kind(header)
        if kind == uid.MediaStorageDirectoryStorage:
            left_out["directory"] += 1
        elif kind in ("", uid.SegmentationStorage, *_CT) and not header.get("SeriesInstanceUID"):
            raise ValueError(f"{file}: has no SeriesInstanceUID, so it is cut short; copy it again, or leave it out")
        else:
            found.append((file, header))
    _tell(path, left_out)
    return found


def slice_headers(path: Path, modalities: Collection[str]) -> list[tuple[Path, pydicom.Dataset]]:
    """The `headers` of slices; localizers, secondary captures and other kinds are left out and counted.

    Args:
        path: As for `headers`.
        modalities: Modalities to keep.

    Raises:
        ValueError: As for `headers`.
    """
    found, left_out = [], Counter[str]()
    for file, header in headers(path):
        why = _no_slice(header, modalities)
        if why:
            left_out[why] += 1
        else:
            found.append((file, header))
    _tell(path, left_out)
    return found


def modality_of(header: pydicom.Dataset) -> str:
    """Modality of the header, without invalid characters, or by its SOP class."""
    code = re.sub("[^A-Z0-9_ ]", "", str(header.get("Modality") or "").upper())[:16]
    return code or ("CT" if _kind(header) in _CT else "none")


def _no_slice(header: pydicom.Dataset, modalities: Collection[str]) -> str:
    """Why a file is not a slice to read; empty if it is one, or should be."""
    kind, modality = _kind(header), modality_of(header)
    image_type = [str(word).upper() for word in _listed(header.get("ImageType"))]
    if modality not in modalities:
        return f"modality {modality}"
    if "LOCALIZER" in image_type:
        return "localizer"
    placed = _is_placed(header)
    if kind not in _CT and not placed:
        return "secondary capture or report"
    if not placed and "SECONDARY" in image_type:
        return "made of other images, without a place in the patient"
    if header.get("SamplesPerPixel", 1) != 1:
        return "colour picture"
    return ""


def _kind(header: pydicom.Dataset) -> str:
    """SOP Class UID; empty if missing."""
    return str(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "")


def _is_placed(header: pydicom.Dataset) -> bool:
    return "ImagePositionPatient" in header or "PerFrameFunctionalGroupsSequence" in header


def _listed(value: Iterable[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _tell(folder: Path, left_out: Counter[str]) -> None:
    if left_out:
        log.info("%s: left out %s", folder, ", ".join(f"{n} files ({why})" for why, n in left_out.items()))


def _is_dicom(file: Path) -> bool:
    """Whether a file is DICOM, by the mark after the preamble; its name needs no ending.

    Raises:
        ValueError: If the file is named as DICOM, or begins as its data do, and has no mark.
    """
    with opening(file, "DICOM"), file.open("rb") as stream:
        start = stream.read(132)
    if start[128:] == b"DICM":
        return True
    if file.suffix.lower() in DICOM or start[:4] in (b"\2\0\0\0", b"\2\0\1\0", b"\x08\0\5\0", b"\x08\0\x08\0"):
        raise ValueError(
            f"{file}: no preamble with the mark DICM, so it is cut short or an old kind of DICOM; "
            "convert it with gdcmconv or dcmconv, or leave it out"
        )
    return False
