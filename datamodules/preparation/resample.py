"""Images onto other grids: CT by linear interpolation, masks by nearest neighbour, and crops."""

import numpy as np
import SimpleITK as sitk

__all__ = ["crop_in_plane", "onto_baseline", "with_pixel_size"]

_MARGIN = 10.0  # mm kept around the brain


def with_pixel_size(image: sitk.Image, pixel_size: float | None) -> sitk.Image:
    """Resample x and y to a pixel size in mm over the same field of view; None gives the image back."""
    if pixel_size is None:
        return image
    spacing = np.array([pixel_size, pixel_size, image.GetSpacing()[2]])
    extent = np.multiply(image.GetSize(), image.GetSpacing())
    size = np.maximum(1, np.rint(extent / spacing)).astype(int)
    # Voxel 0 is a centre: the corner of the field of view stays in place, not that centre.
    shift = np.reshape(image.GetDirection(), (3, 3)) @ ((spacing - image.GetSpacing()) / 2)
    grid = sitk.Image(size.tolist(), image.GetPixelID())
    grid.SetSpacing(spacing.tolist())
    grid.SetOrigin((image.GetOrigin() + shift).tolist())
    grid.SetDirection(image.GetDirection())
    return onto_baseline(image, grid, sitk.Transform())


def onto_baseline(image: sitk.Image, baseline: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    """Resample a CT (int16) or mask (uint8) onto the baseline's grid; what it does not cover is air, or no bleed.

    The transform takes points of the baseline to points of the image.
    """
    is_mask = image.GetPixelID() == sitk.sitkUInt8
    method, outside = (sitk.sitkNearestNeighbor, 0) if is_mask else (sitk.sitkLinear, -1024)
    return sitk.Resample(image, baseline, transform, method, outside, image.GetPixelID())


def crop_in_plane(image: sitk.Image, brain: np.ndarray) -> sitk.Image:
    """Crop x and y to a brain (z, y, x) bool on the same grid, not empty, and a margin; all slices stay."""
    window = []
    for axis, spacing in zip((2, 1), image.GetSpacing(), strict=False):
        there = np.flatnonzero(brain.any(axis=tuple({0, 1, 2} - {axis})))
        margin = round(_MARGIN / spacing)
        window.append(slice(max(0, int(there[0]) - margin), int(there[-1]) + 1 + margin))
    return image[window[0], window[1], :]
