"""The header of a volume, of any format."""

from collections.abc import Callable
from dataclasses import dataclass

import nibabel as nib
import numpy as np

__all__ = ["RawHeader"]


@dataclass(frozen=True)
class RawHeader:
    """A header as stored, not checked yet.

    Attributes:
        shape: Voxels along the axes of the file.
        affine: (4, 4) to mm in RAS.
        voxel: Bytes of a voxel; 0 if it is not a single number.
        load: Reads the voxels in the order of the file; to be called within `opening`.
        packed: Whether voxels are, or may be, compressed.
        nifti: The NIfTI header, or None.
        start: Offset of the first voxel in bytes.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    voxel: int
    load: Callable[[], np.ndarray]
    packed: bool = False
    nifti: nib.Nifti1Header | None = None
    start: int = 0
