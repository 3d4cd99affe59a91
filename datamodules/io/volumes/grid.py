"""The grid of a file, and how its array is reoriented to z, y, x and back."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from medzoo.evaluation.measures.volumes import voxel_mm

__all__ = ["LPS", "Grid", "check_same_grid", "from_itk", "to_itk"]

_TOLERANCE = 1e-3  # mm, and parts of a direction
_RAS = nib.orientations.axcodes2ornt("RAS")
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From mm in RAS to mm in LPS, as used by DICOM and ITK, and back."""


@dataclass(frozen=True, eq=False)
class Grid:
    """The grid of a file, and the same turned to the nearest axes of the patient: z, y, x.

    Reoriented arrays have index 0 at the feet, the back and the left: axes point to the head, the front and the
    patient's right, which is nibabel's RAS (x, y, z) with axes in the order z, y, x. Nothing is interpolated, so
    oblique scans stay oblique; spacings of a sheared grid multiply to the volume of a voxel.

    Attributes:
        file_shape: Voxels along the axes of the file, where a last axis of 1 may be missing or extra.
        file_affine: (4, 4) from voxels of the file to mm in RAS.
        header: The geometry of a NIfTI header, to be written again bit for bit; else None.
    """

    file_shape: tuple[int, ...]
    file_affine: np.ndarray
    header: nib.Nifti1Header | None = field(default=None, repr=False)

    @cached_property
    def _turn(self) -> np.ndarray:
        return nib.orientations.io_orientation(self.file_affine)

    @property
    def _volume(self) -> tuple[int, int, int]:
        x, y, z, *_ = (*self.file_shape, 1)
        return x, y, z

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = self.to_array(np.broadcast_to(np.int8(0), self._volume), copy=False).shape
        return z, y, x

    @cached_property
    def affine(self) -> np.ndarray:
        """(4, 4) from voxels x, y, z of the turned array to mm in RAS."""
        return self.file_affine @ nib.orientations.inv_ornt_aff(self._turn, self._volume)

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Spacing in mm along z, y, x, by the affine."""
        x, y, z = voxel_mm(self.affine)
        return z, y, x

    def to_array(self, data: np.ndarray, *, copy: bool = True) -> np.ndarray:
        """Reorient an array in the order of the file to (z, y, x); contiguous unless `copy` is False."""
        turned = nib.orientations.apply_orientation(data.reshape(self._volume), self._turn).T
        return np.ascontiguousarray(turned) if copy else turned

    def to_file(self, array: np.ndarray) -> np.ndarray:
        """Reorient (z, y, x) to the order of the file, with three axes."""
        return nib.orientations.apply_orientation(array.T, nib.orientations.ornt_transform(_RAS, self._turn))

    @property
    def is_slice(self) -> bool:
        """Whether it is a single slice, in any direction."""
        return 1 in self.shape

    def to_picture(self, array: np.ndarray) -> np.ndarray:
        """A single slice (z, y, x) as a picture (H, W): head or front up, the patient's right on the left."""
        return array.squeeze(self.shape.index(1))[::-1, ::-1]

    def from_picture(self, picture: np.ndarray) -> np.ndarray:
        """A picture of the slice as (z, y, x)."""
        return np.expand_dims(picture[::-1, ::-1], self.shape.index(1))

    @property
    def pixel(self) -> tuple[float, ...]:
        """Spacing of the slice in mm, H and W."""
        return tuple(np.delete(self.spacing, self.shape.index(1)).tolist())

    @property
    def pixels(self) -> tuple[int, ...]:
        """Size of the slice, H and W."""
        return tuple(np.delete(self.shape, self.shape.index(1)).tolist())

    def turned(self) -> "Grid":
        """The grid of a file with the axes of the reoriented array."""
        return Grid(self.shape[::-1], self.affine)


def check_same_grid(file: Path, grid: Grid, other_file: Path, other: Grid) -> None:
    """Refuse two files with different grids; how each stores its axes does not matter.

    Raises:
        ValueError: If shapes or affines differ.
    """
    if grid.shape != other.shape:
        problem = f"{grid.shape[::-1]} voxels, but {other_file.name} has {other.shape[::-1]}"
        raise ValueError(f"{file}: {problem}; resample one")
    if np.abs(grid.affine - other.affine).max() > _TOLERANCE:
        problem = f"lies on another grid than {other_file.name} (their affines differ)"
        raise ValueError(f"{file}: {problem}; resample one onto the other")


def to_itk(array: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """Make a SimpleITK image.

    Args:
        array: (z, y, x).
        affine: (4, 4) from voxels x, y, z to mm in RAS.
    """
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def from_itk(image: sitk.Image | sitk.ImageFileReader) -> np.ndarray:
    """Affine (4, 4) of a SimpleITK image of two to four axes, from voxels x, y, z to mm in RAS."""
    axes = len(image.GetSize())
    kept = min(axes, 3)
    lps = np.eye(4)
    direction = np.reshape(image.GetDirection(), (axes, axes))[:kept, :kept]
    lps[:kept, :kept] = direction * np.array(image.GetSpacing())[:kept]
    lps[:kept, 3] = np.array(image.GetOrigin())[:kept]
    return LPS @ lps
