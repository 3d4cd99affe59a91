"""Headers of volumes as each format says them, and what reads the voxels behind them."""

import gzip
import logging
import math
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from nibabel.filebasedimages import ImageFileError

from datamodules.io.grid import from_itk

__all__ = ["FORMATS", "VOLUMES", "Said", "volume_ending"]

logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # what it mends in a header is checked here

VOLUMES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
"""How the names of volumes end; `.npy`, whose voxels are 1 mm in z, y, x, is read too where it is named."""

_ITK = {sitk.sitkUInt8: 1, sitk.sitkInt8: 1, sitk.sitkUInt16: 2, sitk.sitkInt16: 2, sitk.sitkUInt32: 4,
        sitk.sitkInt32: 4, sitk.sitkUInt64: 8, sitk.sitkInt64: 8, sitk.sitkFloat32: 4, sitk.sitkFloat64: 8}  # fmt: skip


@dataclass(frozen=True)
class Said:
    """A header as its format says it.

    Attributes:
        shape: Voxels along the axes of the file.
        affine: (4, 4) to mm in RAS.
        voxel: Bytes of a voxel; 0 where it is no single number.
        load: Reads the voxels, in the order of the file; to be called within `opening`.
        packed: Whether they are compressed, or may be.
        nifti: The header of NIfTI; else none.
        start: Bytes before the first voxel.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    voxel: int
    load: Callable[[], np.ndarray]
    packed: bool = False
    nifti: Any = None
    start: int = 0


def volume_ending(file: Path) -> str:
    """How the name of a volume ends, in lower case; empty where it is none."""
    return next((end for end in (*VOLUMES, ".npy") if file.name.lower().endswith(end)), "")


def _nifti(file: Path) -> Said:
    try:
        image: Any = nib.load(file, mmap=False)
    except ImageFileError as error:  # no header to be found in it
        raise EOFError from error
    if not isinstance(image, nib.Nifti1Image):
        raise ValueError("it holds something else than a volume")
    _check_guesses(file, image)
    dtype, packed = image.header.get_data_dtype(), file.name.lower().endswith(".gz")
    voxel = dtype.itemsize if dtype.kind in "iuf" and dtype.itemsize <= 8 else 0
    proxy: Any = image.dataobj

    def load() -> np.ndarray:
        end, voxels = proxy.offset + math.prod(image.shape) * voxel, proxy
        if packed:
            voxels = image.from_bytes(_unzipped(file, end)).dataobj
        scaled = (proxy.slope, proxy.inter) != (1, 0)
        return np.asarray(voxels, np.float32) if scaled else voxels.get_unscaled()

    return Said(image.shape, image.affine, voxel, load, packed, image.header, int(proxy.offset))


def _check_guesses(file: Path, image: Any) -> None:
    """Refuse what nibabel mends by a guess: another geometry than the header's would come of it."""
    with nib.openers.ImageOpener(file) as opened:
        said = type(image.header).from_fileobj(opened, check=False)
    if said["sizeof_hdr"] != said.sizeof_hdr:
        raise EOFError
    for name in ("sform_code", "qform_code"):
        if not 0 <= said[name] <= 5:
            raise ValueError(f"its {name} is {said[name]}, which NIfTI does not know")
    if said["sform_code"] == 0:
        qfac, *edges = said["pixdim"][:4].tolist()
        long = [edge for edge, n in zip(edges, image.shape, strict=False) if n > 1]
        if not all(0 < edge < math.inf for edge in long):
            raise ValueError(f"its pixdim says voxels of {' x '.join(f'{edge:g}' for edge in edges)} mm")
        if qfac not in (-1, 0, 1) and said["qform_code"] > 0:
            raise ValueError(f"its pixdim[0] is {qfac:g}; it says by 1 or -1 to which side z points")


def _unzipped(file: Path, size: int) -> bytes:
    """The first bytes of a gzip file, read to its end, where its checksum stands."""
    with gzip.open(file) as opened:
        content = opened.read(size)
        while opened.read(1 << 20):
            pass
    return content


def _itk(file: Path) -> Said:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise EOFError from error
    voxel = _ITK.get(reader.GetPixelIDValue(), 0)
    parts = reader.GetNumberOfComponents()
    shape = reader.GetSize() + ((parts,) if parts > 1 else ())
    size = math.prod(shape) * voxel
    stored, packed, plain = _itk_voxels(file)

    def load() -> np.ndarray:
        if plain >= 0:
            _check_voxels(stored, packed, plain, size)
        try:
            return sitk.GetArrayFromImage(reader.Execute()).T
        except RuntimeError as error:
            raise EOFError from error

    return Said(shape, from_itk(reader), voxel, load, packed or plain < 0)


def _check_voxels(stored: Path, packed: bool, start: int, size: int) -> None:
    """Ask for so many bytes: ITK reads damaged ones without a word."""
    if not stored.is_file():
        raise ValueError(f"its voxels in {stored.name} are not there")
    content = stored.read_bytes()[start:]
    if packed:
        unpacked = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib or gzip
        content = unpacked.decompress(content)
        if not unpacked.eof:
            raise EOFError
    if len(content) < size:
        raise EOFError


def _itk_voxels(file: Path) -> tuple[Path, bool, int]:
    """Where voxels stand, whether they are compressed, and at which byte they begin; -1 where that is not known."""
    with file.open("rb") as opened:
        head = opened.read(1 << 16)
    if file.suffix.lower() == ".nrrd":
        end = re.search(rb"\r?\n\r?\n", head)
        said = head[: end.end()] if end else head
        coding = re.search(rb"(?im)^encoding:\s*(\w+)", said)
        name = coding.group(1).lower() if coding else b""
        odd = re.search(rb"(?im)^(data ?file|(line|byte) skip):", said) or name not in (b"raw", b"gzip", b"gz")
        return file, name in (b"gzip", b"gz"), end.end() if end and not odd else -1
    end = re.search(rb"(?m)^ElementDataFile\s*=\s*(\S+)[ \t]*\r?(\n|\Z)", head)
    said = head[: end.end()] if end else head
    packed = bool(re.search(rb"(?im)^CompressedData\s*=\s*True", said))
    text = re.search(rb"(?im)^(BinaryData\s*=\s*False|HeaderSize\s*=)", said)
    if end is None or text or end.group(1) == b"LIST":
        return file, packed, -1
    if end.group(1) == b"LOCAL":
        return file, packed, end.end()
    return file.parent / end.group(1).decode(), packed, 0


def _npy(file: Path) -> Said:
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    voxel = array.dtype.itemsize if array.dtype.kind in "biuf" else 0
    shape = array.shape[:-1] if array.ndim == 4 and array.shape[-1] == 1 else array.shape
    return Said(shape[::-1], np.eye(4), voxel, lambda: np.load(file, allow_pickle=False).reshape(shape).T)


FORMATS = {
    **dict.fromkeys((".nii.gz", ".nii"), ("a NIfTI volume", _nifti)),
    **dict.fromkeys((".mha", ".mhd"), ("a MetaImage volume", _itk)),
    ".nrrd": ("an NRRD volume", _itk),
    ".npy": ("an array", _npy),
}
"""By the ending of a name, what such a file is, and what reads its header."""
