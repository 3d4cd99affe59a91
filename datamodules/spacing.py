"""How large the voxels of a file are."""

from typing import Any

from evaluation.volumes import voxel_mm

__all__ = ["spacing_mm"]


def spacing_mm(image: Any) -> tuple[float, ...]:
    """Mm of a voxel by the affine of an image, in the order of its array turned round: z, y, x.

    Args:
        image: As nibabel opens it, of two axes or more.

    Returns:
        As many values as there are spatial axes; their product is the volume of a voxel, sheared or not.

    Raises:
        ValueError: If the affine spans no volume.
    """
    try:
        return voxel_mm(image.affine)[: min(3, len(image.shape))][::-1]
    except ValueError as error:
        raise ValueError(f"{image.get_filename() or 'an image'}: {error}") from error
