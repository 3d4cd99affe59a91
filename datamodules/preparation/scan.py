"""Read one raw scan, a CT (DICOM folder or NIfTI) with masks, and resample images to other grids."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medzoo.datamodules.io import Volume, check_offset, read_mask, read_volume, to_itk
from medzoo.datamodules.io.dicom.series import read_series
from medzoo.datamodules.io.dicom.slices import Slices

__all__ = ["Scan", "crop_in_plane", "like", "onto_baseline", "read_ct", "read_scan", "with_pixel_size"]

log = logging.getLogger(__name__)

_MARGIN = 10.0  # mm kept around the brain


@dataclass
class Scan:
    """A CT in HU (int16) and its masks (uint8), all on one grid in RAS orientation."""

    ct: sitk.Image
    iph: sitk.Image
    ivh: sitk.Image

    def map(self, change: Callable[[sitk.Image], sitk.Image]) -> "Scan":
        """Apply a function to each image."""
        return Scan(change(self.ct), change(self.iph), change(self.ivh))


def read_scan(folder: Path, slice_spacing: float | None = None, series: str | int | None = None) -> Scan:
    """Read `ct/` or `ct.nii.gz`, `iph.nii.gz` and, if there is one, `ivh.nii.gz` from a folder.

    Args:
        folder: Folder of one scan.
        slice_spacing: Distance in mm between slices, for DICOM series with uneven spacing; None uses their median.
        series: Number, description or UID of the DICOM series, if `ct/` holds several.

    Raises:
        FileNotFoundError: If the CT or `iph.nii.gz` is missing.
        ValueError: If a file is not as expected, or a mask is on another grid than the CT.
    """
    path = folder / "ct" if (folder / "ct").is_dir() else folder / "ct.nii.gz"
    if not path.exists():
        raise FileNotFoundError(f"{folder}: no CT; expected a folder ct/ with DICOM files, or ct.nii.gz")
    slices = read_series(path, series) if path.is_dir() else None
    ct = sitk.DICOMOrient(slices.to_image(slice_spacing), "RAS") if slices else read_ct(path)
    if not (folder / "iph.nii.gz").is_file():
        raise FileNotFoundError(
            f"{folder / 'iph.nii.gz'}: no such file; expected the mask of the intraparenchymal bleed"
        )
    masks = {}
    for name in ("iph", "ivh"):
        file = folder / f"{name}.nii.gz"
        if file.is_file():
            masks[name] = _read_mask(file, ct, path, slices, slice_spacing)
        else:
            log.info("%s: no %s; assuming no intraventricular bleed", folder, file.name)
            masks[name] = like(np.zeros(ct.GetSize()[::-1], np.uint8), ct)
    return Scan(ct, masks["iph"], masks["ivh"])


def read_ct(path: Path, slice_spacing: float | None = None, series: str | int | None = None) -> sitk.Image:
    """Read a CT as int16 in HU, in RAS orientation, from a folder of DICOM files (see `read_scan`) or a volume file.

    Raises:
        ValueError: If the file is not a 3-D CT in HU.
    """
    if path.is_dir():
        return sitk.DICOMOrient(read_series(path, series).to_image(slice_spacing), "RAS")
    volume = read_volume(path)
    values = volume.array
    if min(values.shape) < 2:
        raise ValueError(f"{path}: size {values.shape[::-1]}; expected one 3-D volume")
    check_offset(values, path)
    if values.min() > -500 or values.max() < 300:
        raise ValueError(
            f"{path}: values from {values.min():g} to {values.max():g}; expected a whole head in HU, "
            "with air near -1000 and bone above 300, before any windowing or skull strip"
        )
    return _to_itk(np.rint(np.clip(values, -1024, 3071)).astype(np.int16), volume, path)


def like(array: np.ndarray, image: sitk.Image) -> sitk.Image:
    """An array (z, y, x) as an image on the grid of another image; no other header field is copied."""
    made = sitk.GetImageFromArray(array)
    made.CopyInformation(image)
    return made


def with_pixel_size(image: sitk.Image, pixel_size: float | None) -> sitk.Image:
    """Resample x and y to a pixel size in mm over the same field of view; None returns the image unchanged."""
    if pixel_size is None:
        return image
    spacing = np.array([pixel_size, pixel_size, image.GetSpacing()[2]])
    extent = np.multiply(image.GetSize(), image.GetSpacing())
    size = np.maximum(1, np.rint(extent / spacing)).astype(int)
    # The origin is the centre of voxel 0; shift it so that the corner of the field of view stays in place.
    shift = np.reshape(image.GetDirection(), (3, 3)) @ ((spacing - image.GetSpacing()) / 2)
    grid = sitk.Image(size.tolist(), image.GetPixelID())
    grid.SetSpacing(spacing.tolist())
    grid.SetOrigin((image.GetOrigin() + shift).tolist())
    grid.SetDirection(image.GetDirection())
    return onto_baseline(image, grid, sitk.Transform())


def onto_baseline(image: sitk.Image, baseline: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    """Resample a CT (int16) or mask (uint8) onto the baseline's grid; outside it is air, or background.

    The transform maps points of the baseline to points of the image.
    """
    is_mask = image.GetPixelID() == sitk.sitkUInt8
    method, outside = (sitk.sitkNearestNeighbor, 0) if is_mask else (sitk.sitkLinear, -1024)
    return sitk.Resample(image, baseline, transform, method, outside, image.GetPixelID())


def crop_in_plane(image: sitk.Image, brain: np.ndarray) -> sitk.Image:
    """Crop x and y to a non-empty brain mask (z, y, x) bool on the same grid, plus a margin; all slices are kept."""
    window = []
    for axis, spacing in zip((2, 1), image.GetSpacing(), strict=False):
        there = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
        margin = round(_MARGIN / spacing)
        window.append(slice(max(0, int(there[0]) - margin), int(there[-1]) + 1 + margin))
    return image[window[0], window[1], :]


def _read_mask(file: Path, ct: sitk.Image, ct_path: Path, slices: Slices | None, spacing: float | None) -> sitk.Image:
    volume = read_mask(file, (0, 1))
    mask = _to_itk(volume.array, volume, file)
    if _same_grid(mask, ct):
        return like(volume.array, ct)
    drawn = _on_slices(mask, slices) if slices else None
    if slices is None or drawn is None:
        raise ValueError(
            f"{file}: {_grid(mask)} is not the grid of {ct_path}: {_grid(ct)}; "
            "resample the mask onto the CT (nearest neighbour), or draw it there"
        )
    log.info("%s: drawn on the slices as acquired; resampled with them to the even grid", file)
    return sitk.DICOMOrient(slices.mask_to_image(drawn, spacing), "RAS")


def _same_grid(one: sitk.Image, other: sitk.Image) -> bool:
    """Whether corresponding voxels are at the same position, within a twentieth of a voxel, also at the far corners."""
    if one.GetSize() != other.GetSize():
        return False
    x, y, z = (size - 1 for size in one.GetSize())
    corners = ([0, 0, 0], [x, y, z], [x, 0, 0], [0, y, 0])
    places = [[image.TransformIndexToPhysicalPoint(corner) for corner in corners] for image in (one, other)]
    return bool(np.abs(np.diff(places, axis=0)).max() <= 0.05 * min(one.GetSpacing()))


def _on_slices(mask: sitk.Image, slices: Slices) -> np.ndarray | None:
    """A mask in the order of the slices, if it was drawn on them as acquired (before correcting tilt and spacing)."""
    axes = np.stack([slices.row, slices.column, slices.normal], 1)
    code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(axes.ravel().tolist())
    mask = sitk.DICOMOrient(mask, code)
    count, rows, columns = slices.pixels.shape
    in_plane = np.allclose(mask.GetSpacing()[:2], slices.spacing[::-1], atol=1e-3)
    at_start = np.linalg.norm(mask.GetOrigin() - slices.positions[0]) < 1
    return sitk.GetArrayFromImage(mask) if mask.GetSize() == (columns, rows, count) and in_plane and at_start else None


def _to_itk(array: np.ndarray, volume: Volume, file: Path) -> sitk.Image:
    """An image on the grid of a volume; its axes must be at right angles for registration and resampling."""
    axes = volume.affine[:3, :3] / np.linalg.norm(volume.affine[:3, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() > 1e-3:
        raise ValueError(f"{file}: its axes are not at right angles; give the DICOM files, or resample it")
    return to_itk(array, volume.affine)


def _grid(image: sitk.Image) -> str:
    numbers = [" x ".join(f"{v:g}" for v in np.round(values, 3)) for values in (image.GetSize(), image.GetSpacing())]
    origin = ", ".join(f"{v:.1f}" for v in image.GetOrigin())
    return f"{numbers[0]} voxels of {numbers[1]} mm from ({origin})"
