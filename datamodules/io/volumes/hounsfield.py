"""Whether a CT is in Hounsfield units: air -1000, water 0."""

from pathlib import Path

import numpy as np

__all__ = ["check_hu", "check_offset"]

_SOFT = (924, 1174)  # -100 to 150 HU where 1024 was added: fat to soft tissue
_AROUND = (500, 1500)
_ENOUGH = 0.01  # share of all voxels
_SAMPLE = 1_000_000


def check_offset(ct: np.ndarray, file: Path) -> None:
    """Refuse a CT whose rescale intercept is missing, such as one with air at 0 and water at 1024.

    Such a CT has no air at -1000, and much of the volume, but little above it, has the density of soft tissue plus
    1024. (Bone is less than a quarter of voxels above 0 even if the air around a head was set to 0, and calcifications
    in a skull-stripped head are fewer still.) Or a good part is denser than any tissue.

    Args:
        ct: Of any shape.
        file: For messages.

    Raises:
        ValueError: If the intercept seems to be missing.
    """
    flat = ct.reshape(-1)
    values = flat[:: max(1, flat.size // _SAMPLE)]
    if ct.min() < -200:
        return
    around = values[(values > _AROUND[0]) & (values < _AROUND[1])]
    soft = ((around >= _SOFT[0]) & (around <= _SOFT[1])).sum()
    light = ((values > 0) & (values < 200)).sum()
    shifted = soft > max(0.7 * around.size, 0.3 * light, _ENOUGH * values.size)
    if shifted or values.min() > 300 or (values > 3100).mean() > 0.1:
        raise ValueError(
            f"{file}: values from {ct.min():g} to {ct.max():g}, and soft tissue far above 0: no CT in HU; its rescale "
            "intercept is missing (often -1024); add it, or convert the DICOM files again"
        )


def check_hu(ct: np.ndarray, file: Path, *, stripped: bool = False) -> None:
    """Refuse a CT that is not in HU.

    Args:
        ct: Of any shape.
        file: For messages.
        stripped: Whether all but the brain may have been set to 0, so that no value need lie below 0 or above 255.

    Raises:
        ValueError: If the intercept is missing (`check_offset`), values were scaled to 0 to 1, or they are grey values
            from 0 to 255.
    """
    check_offset(ct, file)
    low, high = ct.min(), ct.max()
    if high <= 2:
        why = "HU, such as 30 to 80 for brain and blood"
    elif low >= 0 and high <= 255 and not stripped:
        why = "HU, where air is -1000"
    else:
        return
    raise ValueError(f"{file}: values from {low:g} to {high:g}; expected {why}")
