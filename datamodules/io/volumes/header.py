"""What a header of a volume says, of whatever format."""

from collections.abc import Callable
from dataclasses import dataclass

import nibabel as nib
import numpy as np

__all__ = ["RawHeader"]


@dataclass(frozen=True)
class RawHeader:
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
    nifti: nib.Nifti1Header | None = None
    start: int = 0
