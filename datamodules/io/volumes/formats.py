"""Volume formats: reading the header of each, and its voxels."""

import gzip
import logging
import math
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError

from medzoo.datamodules.io.arrays import npy_header, read_npy
from medzoo.datamodules.io.volumes.header import RawHeader
from medzoo.datamodules.io.volumes.itk import read_itk

__all__ = ["FORMATS", "VOLUMES", "volume_ending"]

logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # it repairs headers; these are checked here

VOLUMES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
"""Endings of volumes; `.npy` (z, y, x in voxels of 1 mm) is read too if named explicitly."""


def volume_ending(file: Path) -> str:
    """Ending of a volume's name, in lower case; empty if it is not a volume."""
    return next((end for end in (*VOLUMES, ".npy") if file.name.lower().endswith(end)), "")


def _nifti(file: Path) -> RawHeader:
    try:
        image = nib.load(file, mmap=False)
    except ImageFileError as error:  # it has no header
        raise EOFError from error
    if not isinstance(image, nib.Nifti1Image):
        raise ValueError("it holds something else than a volume")
    _check_guesses(file, image)
    dtype, packed = image.header.get_data_dtype(), file.name.lower().endswith(".gz")
    voxel = dtype.itemsize if dtype.kind in "iuf" and dtype.itemsize <= 8 else 0
    proxy = cast(ArrayProxy, image.dataobj)

    def load() -> np.ndarray:
        end, voxels = proxy.offset + math.prod(image.shape) * voxel, proxy
        if packed:
            voxels = cast(ArrayProxy, image.from_bytes(_unzipped(file, end)).dataobj)
        scaled = (proxy.slope, proxy.inter) != (1, 0)
        return np.asarray(voxels, np.float32) if scaled else voxels.get_unscaled()

    return RawHeader(image.shape, image.affine, voxel, load, packed, image.header, int(proxy.offset))


def _check_guesses(file: Path, image: nib.Nifti1Image) -> None:
    """Refuse headers that nibabel would repair by a guess, with a wrong geometry as the result."""
    with nib.openers.ImageOpener(str(file)) as opened:
        header = type(image.header).from_fileobj(opened, check=False)
    if header["sizeof_hdr"] != header.sizeof_hdr:
        raise EOFError
    if not header["vox_offset"] >= header.single_vox_offset:
        raise ValueError(f"its vox_offset is {header['vox_offset']:g}, within its header")
    for name in ("sform_code", "qform_code"):
        if not 0 <= header[name] <= 5:
            raise ValueError(f"its {name} is {header[name]}, which is not a NIfTI code")
    if header["sform_code"] == 0:
        qfac, *edges = header["pixdim"][:4].tolist()
        long = [edge for edge, n in zip(edges, image.shape, strict=False) if n > 1]
        if not all(0 < edge < math.inf for edge in long):
            raise ValueError(f"its pixdim says voxels of {' x '.join(f'{edge:g}' for edge in edges)} mm")
        if qfac not in (-1, 0, 1) and header["qform_code"] > 0:
            raise ValueError(f"its pixdim[0] is {qfac:g}; it says by 1 or -1 to which side z points")


def _unzipped(file: Path, size: int) -> bytes:
    """The first bytes of a gzip file, read to its end, where its checksum stands."""
    with gzip.open(file) as opened:
        content = opened.read(size)
        while opened.read(1 << 20):
            pass
    return content


def _npy(file: Path) -> RawHeader:
    sizes, kind = npy_header(file)
    voxel = kind.itemsize if kind.kind in "biuf" and kind.itemsize <= 8 else 0
    shape = sizes[:-1] if len(sizes) == 4 and sizes[-1] == 1 else sizes
    return RawHeader(shape[::-1], np.eye(4), voxel, lambda: read_npy(file).reshape(shape).T)


FORMATS = {
    **dict.fromkeys((".nii.gz", ".nii"), ("a NIfTI volume", _nifti)),
    **dict.fromkeys((".mha", ".mhd"), ("a MetaImage volume", read_itk)),
    ".nrrd": ("an NRRD volume", read_itk),
    ".npy": ("an array", _npy),
}
"""Name and header reader of each format, by ending."""
