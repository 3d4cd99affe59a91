"""Which DICOM files a folder holds, and which of them are slices: what is left out is counted and told.

A patient's name never gets into a message: only names of files, series and the kinds of mistakes do.
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
"""Endings of their names, in small letters; many have none."""
QUANTITIES = ("CT", "MR", "PT")
"""Modalities whose slices make volumes, and whose values mean the same however they are shown."""
_CT = (uid.CTImageStorage, uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage)
_READ = """Modality SOPClassUID ImageType PatientID StudyDate StudyInstanceUID SeriesInstanceUID SeriesNumber
SeriesDescription Rows Columns SamplesPerPixel NumberOfFrames PixelSpacing ImagerPixelSpacing NominalScannedPixelSpacing
SliceThickness ImagePositionPatient ImageOrientationPatient GantryDetectorTilt RescaleSlope RescaleIntercept RescaleType
ReferencedSeriesSequence SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence"""


@contextmanager
def decoding(file: Path, what: str) -> Iterator[None]:
    """Turn what libraries raise at a file into one line with its name, and none of its content.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of a header is checked by name
            yield
    except _DAMAGE as error:
        raise ValueError(
            f"{file}: {what} cannot be read ({type(error).__name__}: cut short, damaged, or a kind that is not known); "
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
    """Whether a path is to be read as DICOM: a folder, a file of such an ending, or one with its mark and no ending."""
    if path.is_dir():
        return not volume_ending(path) or holds_dicom(path)  # else it is called as a file of another kind
    return path.suffix.lower() in DICOM or (path.is_file() and is_marked(path))


def is_marked(file: Path) -> bool:
    """Whether a file has the mark of DICOM behind its preamble."""
    with opening(file, "DICOM"), file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def holds_dicom(folder: Path) -> bool:
    """Whether at least one file right in the folder is DICOM."""
    return any(_is_dicom(file) for file in listed(folder) if file.is_file())


def headers(path: Path) -> list[tuple[Path, pydicom.Dataset]]:
    """The DICOM files right in a folder, in order of name, or the one that is named; with what is needed of headers.

    Files that are no DICOM are left out and counted, and so is a DICOMDIR.

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
            raise ValueError(f"{file}: says no series, so it is cut short; copy it again, or leave it out")
        else:
            found.append((file, header))
    _tell(path, left_out)
    return found


def slice_headers(path: Path, modalities: Collection[str]) -> list[tuple[Path, pydicom.Dataset]]:
    """Of `headers` those of slices; localizers, secondary captures and other kinds are left out and counted.

    Args:
        path: As of `headers`.
        modalities: That are wanted.

    Raises:
        ValueError: As `headers`.
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
    """As the header says it, without what no code holds, or its SOP class."""
    code = re.sub("[^A-Z0-9_ ]", "", str(header.get("Modality") or "").upper())[:16]
    return code or ("CT" if _kind(header) in _CT else "none")


def _no_slice(header: pydicom.Dataset, modalities: Collection[str]) -> str:
    """Why a file is no such slice; empty if it is one, or should be."""
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
    """SOP Class UID; empty where it is not told."""
    return str(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID") or "")


def _is_placed(header: pydicom.Dataset) -> bool:
    return "ImagePositionPatient" in header or "PerFrameFunctionalGroupsSequence" in header


def _listed(value: Iterable[str] | None) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _tell(folder: Path, left_out: Counter[str]) -> None:
    if left_out:
        log.info("%s: left out %s", folder, ", ".join(f"{n} files ({why})" for why, n in left_out.items()))


def _is_dicom(file: Path) -> bool:
    """By the mark behind the preamble; names need no ending.

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
