"""Read volumes of any format as z, y, x in RAS orientation, and write them on the grid of a file."""

import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from medzoo.datamodules.io.dicom.files import is_dicom
from medzoo.datamodules.io.dicom.images import dicom_grid, read_dicom
from medzoo.datamodules.io.files import opening
from medzoo.datamodules.io.volumes.formats import VOLUMES, volume_ending
from medzoo.datamodules.io.volumes.grid import Grid, to_itk
from medzoo.datamodules.io.volumes.headers import read_header
from medzoo.files import replacing

__all__ = ["Volume", "geometry", "label_map", "read_mask", "read_volume", "write_like"]

_NEARLY = 1e-3  # largest distance of a label from a whole number


@dataclass(frozen=True, eq=False)
class Volume:
    """A volume in the order z, y, x: index 0 is at the feet, the back and the patient's left.

    Attributes:
        array: (z, y, x), contiguous.
        grid: The grid of its file, for writing.
    """

    array: np.ndarray
    grid: Grid

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Mm of a voxel along z, y, x, by the affine."""
        return self.grid.spacing

    @property
    def affine(self) -> np.ndarray:
        """(4, 4) from voxels x, y, z of the array to mm in RAS."""
        return self.grid.affine


def geometry(file: Path) -> Grid:
    """Read the grid of a volume from its header, with `shape` and `spacing` in the order z, y, x.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If its header is invalid (see `read_header` and `read_series`).
    """
    file = Path(file)
    return dicom_grid(file) if is_dicom(file) else read_header(file).grid


def read_volume(file: Path) -> Volume:
    """Read NIfTI, NRRD, MetaImage, npy (z, y, x) or DICOM: a folder with one series, or a file (see `read_dicom`).

    Integers keep their type, all others become float32. A slope of 0 or NaN is ignored, as in the NIfTI standard.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If its header is invalid (see `read_header`), it is cut short or damaged, or holds NaN or infinite
            values.
    """
    file = Path(file)
    if is_dicom(file):
        values, grid = read_dicom(file)
        return Volume(grid.to_array(values.T), grid)
    header = read_header(file)
    with opening(file, "a volume"), np.errstate(all="ignore"):  # overflow gives infinity, which is refused below
        data = header.load()
    plain = data.dtype.newbyteorder("=") if data.dtype.kind in "iu" else np.uint8 if data.dtype.kind == "b" else "f4"
    with np.errstate(over="ignore"):
        array = header.grid.to_array(data.astype(plain, copy=False))
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{file}: holds NaN or infinite intensities; replace them first")
    return Volume(array, header.grid)


def read_mask(file: Path, labels: Collection[int] | None = None) -> Volume:
    """Read a label map as uint8, or uint16 if needed.

    Args:
        file: As for `read_volume`.
        labels: Allowed values; None allows 0 to 65535.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: As for `read_volume` and `label_map`.
    """
    volume = read_volume(file)
    return Volume(label_map(volume.array, file, labels), volume.grid)


def label_map(array: np.ndarray, file: Path, labels: Collection[int] | None = None) -> np.ndarray:
    """Convert values to labels; only those within 0.001 of a whole number are rounded.

    Args:
        array: Of any shape.
        file: For messages.
        labels: Allowed values; None allows 0 to 65535.

    Returns:
        The labels in uint8 or uint16.

    Raises:
        ValueError: If a value is not a whole number, is negative or too large, or is not in `labels`.
    """
    if array.dtype.kind == "f":
        whole = np.rint(array)
        between = array[np.abs(array - whole) > _NEARLY]
        if len(between):
            raise ValueError(
                f"{file}: holds {_listed(np.unique(between))}; a mask holds whole numbers: export it again, without "
                "scaling, and resample it by nearest neighbour"
            )
        array = whole
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < 0 or high > np.iinfo(np.uint16).max:
        raise ValueError(f"{file}: holds label {low if low < 0 else high}; expected 0 to 65535")
    found = array.astype(np.uint8 if high < 256 else np.uint16, copy=False)
    if labels is not None:
        allowed = sorted(labels)
        strange = np.setdiff1d(np.flatnonzero(np.bincount(found.ravel(), minlength=1)), allowed)
        if len(strange):
            expected = ", ".join(map(str, allowed)) if len(allowed) < 6 else f"{allowed[0]} to {allowed[-1]}"
            raise ValueError(f"{file}: label {_listed(strange)}; expected {expected}")
    return found


def write_like(array: np.ndarray, source: "Path | Grid | Volume", file: Path) -> None:
    """Write an array on the grid of a file, in the orientation of that file; nothing else is copied from it.

    Args:
        array: (z, y, x) as from `read_volume`, or the picture (H, W) of a single slice. 64-bit values are written in
            32.
        source: The file, or its grid or volume.
        file: The file to write, in one step; its ending decides the format.

    Raises:
        ValueError: If the array has another shape or holds integers that are too large, or the ending is unknown.
    """
    grid = source if isinstance(source, Grid) else source.grid if isinstance(source, Volume) else geometry(source)
    array, file = np.asarray(array), Path(file)
    if array.ndim == 2 and grid.is_slice:
        array = grid.from_picture(array)
    if array.shape != grid.shape:
        raise ValueError(f"{file}: an array of {array.shape} does not fit onto a grid of {grid.shape}")
    ending = volume_ending(file)
    if not ending:
        raise ValueError(f"{file}: no format for a volume; expected a name ending in {', '.join((*VOLUMES, '.npy'))}")
    array = _narrow(array, file)
    with replacing(file) as partial:
        if ending == ".npy":
            np.save(partial, array)
        elif ending.startswith(".nii"):
            _write_nifti(grid.to_file(array), grid, partial)
        else:
            _write_itk(to_itk(grid.to_file(array).T, grid.file_affine), partial, file)


def _narrow(array: np.ndarray, file: Path) -> np.ndarray:
    """Convert to a type that all formats have."""
    small = {"b1": np.uint8, "i8": np.int32, "u8": np.uint32, "f8": np.float32, "f2": np.float32}
    found = array.astype(small.get(array.dtype.str[1:], array.dtype), copy=False)
    if array.dtype.kind in "iu" and found is not array and (found != array).any():
        raise ValueError(f"{file}: values from {array.min()} to {array.max()} do not fit into {found.dtype}")
    return found


def _write_nifti(data: np.ndarray, grid: Grid, file: Path) -> None:
    data = data.reshape(grid.file_shape)
    if grid.header is None:
        image = nib.Nifti1Image(data, grid.file_affine)
        image.header.set_xyzt_units("mm")
    else:
        header = grid.header.copy()
        header.set_data_dtype(data.dtype)
        image = (nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image)(data, None, header)
    nib.save(image, file)


def _write_itk(image: sitk.Image, partial: Path, file: Path) -> None:
    """Write an ITK format; for `.mhd` the file of voxels beside it is moved first."""
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=".") as folder:
        made = Path(folder) / file.name
        sitk.WriteImage(image, str(made), useCompression=True)
        made.replace(partial)
        for beside in Path(folder).iterdir():
            shutil.move(beside, file.with_name(beside.name))


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values[:5])
