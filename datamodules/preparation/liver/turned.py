"""NIfTI files turned to one orientation, with a spacing that their header lacks put in."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

__all__ = ["read_turned", "with_labels", "without_spacing"]

log = logging.getLogger(__name__)

_TOLERANCE = 1e-2  # mm, and parts of a direction


def read_turned(file: Path, *, spacing: Sequence[float] | None = None, orientation: str = "RAS") -> Any:
    """A volume whose axes point where they are asked to.

    Args:
        file: NIfTI.
        spacing: Mm along the axes of the file, in place of its header's.
        orientation: Where the three axes of the array point.

    Returns:
        The image of nibabel, three axes.

    Raises:
        ValueError: If it cannot be read, has other than three axes, or holds NaN.
    """
    try:
        image: Any = nib.load(file)
        data = np.asanyarray(image.dataobj)
    except (OSError, ImageFileError, EOFError) as error:
        raise ValueError(f"{file} could not be read as NIfTI ({error})") from error
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise ValueError(f"{file}: {data.ndim} axes of shape {data.shape}; expected a volume")
    if not np.isfinite(data).all():
        raise ValueError(f"{file}: holds NaN or infinite values; replace them first")
    affine = image.affine.copy()
    if spacing is not None:
        affine[:3, :3] *= np.array(spacing) / np.linalg.norm(affine[:3, :3], axis=0)
    image = nib.Nifti1Image(data, affine)
    wanted = nib.orientations.axcodes2ornt(orientation)
    return image.as_reoriented(nib.orientations.ornt_transform(nib.orientations.io_orientation(affine), wanted))


def with_labels(image: Any, mask_file: Path, allowed: Sequence[int], **turned: Any) -> Any:
    """The label map of an image, on its grid.

    Args:
        image: What `read_turned` gave.
        mask_file: NIfTI of the same voxels.
        allowed: Label values.
        **turned: As the image was read.

    Returns:
        The label map, uint8.

    Raises:
        ValueError: If it has another shape, points elsewhere, or holds another value.
    """
    mask = read_turned(mask_file, **turned)
    if mask.shape != image.shape:
        raise ValueError(f"{mask_file}: {mask.shape} voxels, its image has {image.shape}")
    if np.abs(mask.affine[:3, :3] - image.affine[:3, :3]).max() > _TOLERANCE:
        raise ValueError(f"{mask_file}: axes or spacing differ from those of its image; export both anew")
    labels = np.asarray(mask.dataobj)
    strange = np.setdiff1d(np.unique(labels), allowed)
    if len(strange):
        raise ValueError(f"{mask_file}: label {strange[0]:g}; expected {', '.join(map(str, allowed))}")
    return nib.Nifti1Image(labels.astype(np.uint8), image.affine)


def without_spacing(file: Path) -> bool:
    """Whether a header looks as if the spacing had been lost: an identity matrix, 1 mm in all directions."""
    image: Any = nib.load(file)
    return bool(np.allclose(np.abs(image.affine[:3, :3]), np.eye(3)))
