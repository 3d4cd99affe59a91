"""Headers of volumes: what each format says of its voxels, checked before any of them is read."""

import functools
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

from datamodules.io.files import opening
from datamodules.io.grid import Grid, from_itk
from evaluation.volumes import voxel_mm

__all__ = ["VOLUMES", "Header", "read_header", "volume_ending"]

log = logging.getLogger(__name__)

VOLUMES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
"""How the names of volumes end; `.npy`, whose voxels are 1 mm in z, y, x, is read too where it is named."""

_SMALLEST, _LARGEST = 0.01, 50.0  # mm of a voxel
_MOST = 2**32  # voxels
_DENSEST = 1100  # bytes that deflate can make of one
_FLATTEST = 0.3  # volume of a voxel beside that of a box of its edges; at a tilt of 30 degrees it is 0.87
_GEOMETRY = ("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
             "qoffset_z", "srow_x", "srow_y", "srow_z")  # fmt: skip
_ITK = {sitk.sitkUInt8: 1, sitk.sitkInt8: 1, sitk.sitkUInt16: 2, sitk.sitkInt16: 2, sitk.sitkUInt32: 4,
        sitk.sitkInt32: 4, sitk.sitkUInt64: 8, sitk.sitkInt64: 8, sitk.sitkFloat32: 4, sitk.sitkFloat64: 8}  # fmt: skip


@dataclass(frozen=True)
class Header:
    """What is known of a volume before its voxels are read.

    Attributes:
        grid: Where they lie.
        load: Reads them, in the order of the file; to be called within `opening`.
    """

    grid: Grid
    load: Callable[[], np.ndarray]


@dataclass(frozen=True)
class _Said:
    """As a format says it: affine in RAS, bytes of a voxel (0 of what we do not read), and where the first stands."""

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


def read_header(file: Path) -> Header:
    """Read and check a header.

    - A last axis of 1 counts as none, a missing one as 1; several volumes in a file are refused.
    - Of the geometries of NIfTI the affine counts (sform, else qform). It is told if pixdim differs by more than 1%, if
      both point elsewhere, and if there is neither: nibabel's default stands then, x to the left.
    - Units other than mm, voxels below 0.01 or above 50 mm, axes that span no volume, more than 2^32 voxels, or more
      than the file can hold are refused. Of a single slice, its thickness may be anything.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it is no such volume.
    """
    ending = volume_ending(file)
    if not ending:
        raise ValueError(f"{file}: no volume; expected a name ending in {', '.join((*VOLUMES, '.npy'))}")
    kind, reader = _FORMATS[ending]
    with opening(file, kind):
        said = reader(file)
    if said.nifti is not None:
        _check_units(file, said.nifti)
    _check_shape(file, said.shape)
    _check_size(file, said)
    _check_affine(file, said)
    header = None if said.nifti is None else _bare(said.nifti)
    if said.nifti is not None:
        _tell_geometry(file, said)
    return Header(Grid(said.shape, said.affine, header), said.load)


def _nifti(file: Path) -> _Said:
    try:
        image: Any = nib.load(file, mmap=False)
    except ImageFileError as error:  # no header to be found in it
        raise EOFError from error
    if not isinstance(image, nib.Nifti1Image):
        raise ValueError("it holds something else than a volume")
    dtype, packed = image.header.get_data_dtype(), file.name.lower().endswith(".gz")
    voxel = dtype.itemsize if dtype.kind in "iuf" else 0

    proxy: Any = image.dataobj

    def load() -> np.ndarray:
        end, voxels = proxy.offset + math.prod(image.shape) * voxel, proxy
        if packed:
            voxels = image.from_bytes(_unzipped(file, end)).dataobj
        scaled = (proxy.slope, proxy.inter) != (1, 0)
        return np.asarray(voxels, np.float32) if scaled else voxels.get_unscaled()

    return _Said(image.shape, image.affine, voxel, load, packed, image.header, int(proxy.offset))


def _unzipped(file: Path, size: int) -> bytes:
    """The first bytes of a gzip file, read to its end, where its checksum stands."""
    with gzip.open(file) as opened:
        content = opened.read(size)
        while opened.read(1 << 20):
            pass
    return content


def _itk(file: Path) -> _Said:
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
        content = stored.read_bytes()[plain:] if plain >= 0 else b""
        if packed:  # ITK reads damaged ones without a word
            unpacked = zlib.decompressobj(zlib.MAX_WBITS | 32)
            content = unpacked.decompress(content)
            if not unpacked.eof:
                raise EOFError
        if plain >= 0 and len(content) < size:
            raise EOFError
        try:
            return sitk.GetArrayFromImage(reader.Execute()).T
        except RuntimeError as error:
            raise EOFError from error

    return _Said(shape, from_itk(reader), voxel, load, packed or plain < 0)


def _itk_voxels(file: Path) -> tuple[Path, bool, int]:
    """Where voxels stand, whether they are compressed, and at which byte they begin; -1 where that is not known."""
    with file.open("rb") as opened:
        head = opened.read(1 << 16)
    if file.suffix.lower() == ".nrrd":
        end = re.search(rb"\r?\n\r?\n", head)
        said = head[: end.end()] if end else head
        coding = re.search(rb"(?im)^encoding:\s*(\w+)", said)
        name = coding.group(1).lower() if coding else b""
        known = (
            end and name in (b"raw", b"gzip", b"gz") and not re.search(rb"(?im)^(data ?file|(line|byte) skip):", said)
        )
        return file, name in (b"gzip", b"gz"), end.end() if end and known else -1
    end = re.search(rb"(?m)^ElementDataFile\s*=\s*(\S+)[ \t]*\r?(\n|\Z)", head)
    said = head[: end.end()] if end else head
    packed = bool(re.search(rb"(?im)^CompressedData\s*=\s*True", said))
    text = re.search(rb"(?im)^(BinaryData\s*=\s*False|HeaderSize\s*=)", said)
    if end is None or text or end.group(1) == b"LIST":
        return file, packed, -1
    if end.group(1) == b"LOCAL":
        return file, packed, end.end()
    return file.parent / end.group(1).decode(), packed, 0


def _npy(file: Path) -> _Said:
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    voxel = array.dtype.itemsize if array.dtype.kind in "biuf" else 0
    shape = array.shape[:-1] if array.ndim == 4 and array.shape[-1] == 1 else array.shape
    return _Said(shape[::-1], np.eye(4), voxel, lambda: np.load(file, allow_pickle=False).reshape(shape).T)


_FORMATS = {
    **dict.fromkeys((".nii.gz", ".nii"), ("a NIfTI volume", _nifti)),
    **dict.fromkeys((".mha", ".mhd"), ("a MetaImage volume", _itk)),
    ".nrrd": ("an NRRD volume", _itk),
    ".npy": ("an array", _npy),
}


def _bare(header: Any) -> Any:
    """A header of geometry alone: who is shown, and when, stays behind."""
    bare = type(header)()
    for name in _GEOMETRY:
        bare[name] = header[name]
    bare.set_xyzt_units("mm")
    return bare


def _check_units(file: Path, header: Any) -> None:
    unit = {1: "metres", 3: "micrometres"}.get(int(header["xyzt_units"]) & 7)
    if unit:
        raise ValueError(f"{file}: its header counts in {unit} (xyzt_units); write it anew in mm")


def _check_shape(file: Path, shape: tuple[int, ...]) -> None:
    said = " x ".join(map(str, shape))
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(f"{file}: {said or 'no'} voxels; expected a volume of three axes")
    if (several := math.prod(shape[3:])) > 1:
        raise ValueError(f"{file}: {several} volumes in one file ({said}); split it into files of one volume each")


def _check_size(file: Path, said: _Said) -> None:
    if not said.voxel:
        raise ValueError(f"{file}: its voxels are colours or complex numbers; expected one number each")
    voxels, size = math.prod(said.shape), file.stat().st_size
    if voxels > _MOST:
        raise ValueError(
            f"{file}: its header says {voxels:.3g} voxels; expected at most {_MOST:.3g}; cut it, or mend it"
        )
    most = size * (_DENSEST if said.packed else 1)
    if file.suffix.lower() != ".mhd" and said.start + voxels * said.voxel > most:
        raise ValueError(
            f"{file}: {size} bytes cannot hold the {' x '.join(map(str, said.shape))} voxels that its header says: it "
            "is cut short or damaged; copy it again"
        )


def _check_affine(file: Path, said: _Said) -> None:
    try:
        voxel_mm(said.affine)
        edges = np.linalg.norm(said.affine[:3, :3], axis=0)
        if abs(np.linalg.det(said.affine[:3, :3])) < _FLATTEST * edges.prod() or not np.isfinite(said.affine).all():
            raise ValueError("its affine spans no volume: the header is damaged")
    except ValueError as error:
        raise ValueError(f"{file}: {error}; export it anew") from error
    odd = [
        edge for edge, n in zip(edges, (*said.shape, 1), strict=False) if n > 1 and not _SMALLEST <= edge <= _LARGEST
    ]
    if odd:
        raise ValueError(
            f"{file}: its voxels are {' x '.join(f'{edge:.3g}' for edge in edges)} mm; expected {_SMALLEST:g} to "
            f"{_LARGEST:g} mm: the unit or the spacing of its header is wrong; export it anew"
        )


def _tell_geometry(file: Path, said: _Said) -> None:
    """Warn where a header says two things of its geometry, or nothing."""
    header, long = said.nifti, np.array((*said.shape, 1)[:3]) > 1
    coded = [int(header[f"{kind}_code"]) > 0 for kind in ("sform", "qform")]
    edges, pixdim = np.linalg.norm(said.affine[:3, :3], axis=0), np.abs(header["pixdim"][1:4])
    if not any(coded):
        _tell_once(file, "says nothing of its orientation (sform and qform are 0); x is taken to point to the left")
    elif not (np.abs(edges - pixdim) <= 0.01 * edges)[long].all():
        sizes = [" x ".join(f"{edge:.3g}" for edge in each) for each in (edges, pixdim)]
        _tell_once(file, f"its affine says voxels of {sizes[0]} mm, its pixdim {sizes[1]}; the affine counts")
    elif all(coded) and nib.aff2axcodes(said.affine) != _axes_of_qform(header):
        _tell_once(file, "its sform and its qform point elsewhere; the sform counts")


def _axes_of_qform(header: Any) -> tuple[Any, ...]:
    try:
        return nib.aff2axcodes(header.get_qform())
    except (ValueError, np.linalg.LinAlgError):
        return ()


@functools.cache
def _tell_once(file: Path, what: str) -> None:
    log.warning("%s: %s", file, what)
