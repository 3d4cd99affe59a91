"""Check the headers of volumes before voxels are read."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from medzoo.datamodules.io.files import opening, told_before
from medzoo.datamodules.io.volumes.formats import FORMATS, VOLUMES, volume_ending
from medzoo.datamodules.io.volumes.grid import Grid
from medzoo.datamodules.io.volumes.header import RawHeader

__all__ = ["Header", "read_header"]

log = logging.getLogger(__name__)

_SMALLEST, _LARGEST = 0.01, 50.0  # mm of a voxel
_MOST = 2**32  # voxels
_DENSEST = 1100  # highest compression ratio of deflate
_FLATTEST = 0.3  # volume of a voxel relative to a box with its edges; 0.87 at a tilt of 30 degrees
_GEOMETRY = ("pixdim", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
             "qoffset_z", "srow_x", "srow_y", "srow_z")  # fmt: skip


@dataclass(frozen=True)
class Header:
    """A checked header.

    Attributes:
        grid: The grid of the voxels.
        load: Reads the voxels in the order of the file; to be called within `opening`.
    """

    grid: Grid
    load: Callable[[], np.ndarray]


def read_header(file: Path) -> Header:
    """Read and check a header.

    - A last axis of 1 is dropped, a missing one counts as 1; several volumes in a file are refused.
    - The geometry of NIfTI is its affine (sform, else qform). A warning is logged if pixdim differs by more than 1%, if
      the two point in different directions, or if there is neither: then nibabel's default holds, x to the left.
    - Units other than mm, voxels below 0.01 or above 50 mm, axes that span no volume, more than 2^32 voxels, or more
      than the file can hold are refused. The thickness of a single slice is not checked.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it is not such a volume.
    """
    ending = volume_ending(file)
    if not ending:
        raise ValueError(f"{file}: no volume; expected a name ending in {', '.join((*VOLUMES, '.npy'))}, or DICOM")
    kind, reader = FORMATS[ending]
    with opening(file, kind), np.errstate(all="ignore"):
        raw = reader(file)
    if raw.nifti is not None:
        _check_units(file, raw.nifti)
    _check_shape(file, raw.shape)
    _check_size(file, raw)
    with np.errstate(all="ignore"):
        _check_affine(file, raw)
        if raw.nifti is not None:
            _tell_geometry(file, raw, raw.nifti)
    header = None if raw.nifti is None else _bare(raw.nifti)
    return Header(Grid(raw.shape, raw.affine, header), raw.load)


def _bare(header: nib.Nifti1Header) -> nib.Nifti1Header:
    """A copy of the geometry only, without any data of the patient or the date."""
    bare = type(header)()
    for name in _GEOMETRY:
        bare[name] = header[name]
    bare.set_xyzt_units("mm")
    return bare


def _check_units(file: Path, header: nib.Nifti1Header) -> None:
    unit = {1: "metres", 3: "micrometres"}.get(int(header["xyzt_units"]) & 7)
    if unit:
        raise ValueError(f"{file}: its header is in {unit} (xyzt_units); write it in mm")


def _check_shape(file: Path, shape: tuple[int, ...]) -> None:
    sizes = " x ".join(map(str, shape))
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(f"{file}: {sizes or 'no'} voxels; expected a volume of three axes")
    if (several := math.prod(shape[3:])) > 1:
        raise ValueError(f"{file}: {several} volumes in one file ({sizes}); split it into files of one volume each")


def _check_size(file: Path, raw: RawHeader) -> None:
    if not raw.voxel:
        raise ValueError(f"{file}: its voxels are colours, complex or of 128 bits; expected one number each")
    voxels, size = math.prod(raw.shape), file.stat().st_size
    if voxels > _MOST:
        raise ValueError(
            f"{file}: its header says {voxels:.3g} voxels; expected at most {_MOST:.3g}; cut it, or correct it"
        )
    most = size * (_DENSEST if raw.packed else 1)
    if file.suffix.lower() != ".mhd" and raw.start + voxels * raw.voxel > most:
        raise ValueError(
            f"{file}: {size} bytes cannot hold the {' x '.join(map(str, raw.shape))} voxels that its header says: it "
            "is cut short or damaged; copy it again"
        )


def _check_affine(file: Path, raw: RawHeader) -> None:
    edges = np.linalg.norm(raw.affine[:3, :3], axis=0)
    whole = abs(np.linalg.det(raw.affine[:3, :3])) > _FLATTEST * edges.prod()
    if not whole or not np.isfinite(raw.affine).all():
        raise ValueError(f"{file}: its affine spans no volume: the header is damaged; export it again")
    odd = [edge for edge, n in zip(edges, (*raw.shape, 1), strict=False) if n > 1 and not _SMALLEST <= edge <= _LARGEST]
    if odd:
        raise ValueError(
            f"{file}: its voxels are {' x '.join(f'{edge:.3g}' for edge in edges)} mm; expected {_SMALLEST:g} to "
            f"{_LARGEST:g} mm: the unit or the spacing of its header is wrong; export it again"
        )


def _tell_geometry(file: Path, raw: RawHeader, header: nib.Nifti1Header) -> None:
    """Warn if a header has contradictory geometry, or none."""
    long = np.array((*raw.shape, 1)[:3]) > 1
    coded = [int(header[f"{kind}_code"]) > 0 for kind in ("sform", "qform")]
    edges, pixdim = np.linalg.norm(raw.affine[:3, :3], axis=0), np.abs(header["pixdim"][1:4])
    if not any(coded):
        _tell_once(file, "says nothing of its orientation (sform and qform are 0); x is taken to point to the left")
    elif not (np.abs(edges - pixdim) <= 0.01 * edges)[long].all():
        sizes = [" x ".join(f"{edge:.3g}" for edge in each) for each in (edges, pixdim)]
        _tell_once(file, f"its affine says voxels of {sizes[0]} mm, its pixdim {sizes[1]}; the affine counts")
    elif all(coded) and nib.aff2axcodes(raw.affine) != _axes_of_qform(header):
        _tell_once(file, "its sform and its qform differ in direction; the sform counts")


def _axes_of_qform(header: nib.Nifti1Header) -> tuple[str | None, ...]:
    try:
        return nib.aff2axcodes(header.get_qform())
    except (ValueError, np.linalg.LinAlgError):
        return ()


def _tell_once(file: Path, what: str) -> None:
    if not told_before(file, what):
        log.warning("%s: %s", file, what)
