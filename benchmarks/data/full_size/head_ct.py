"""Synthetic head CTs of real size: noise around a few shapes."""

from pathlib import Path

import nibabel as nib
import numpy as np

__all__ = ["head_ct", "write_cohort"]

_SHAPE, _SPACING = (30, 512, 512), (5.0, 0.45, 0.45)  # z, y, x and mm of a head CT


def head_ct(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A head with skull, brain, noise and a bleed: (30, 512, 512) int16 HU, and its mask uint8."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[-1:1:30j, -1:1:512j, -1:1:512j]
    radius = np.sqrt((0.7 * z) ** 2 + (y / 0.85) ** 2 + (x / 0.7) ** 2)
    hu = np.where(radius < 0.9, 35, np.where(radius < 1, 1100, -1000)) + rng.normal(0, 6, _SHAPE) * (radius < 1)
    centre, size = rng.uniform(-0.3, 0.3, 3), rng.uniform(0.1, 0.2)
    bleed = sum((axis - at) ** 2 for axis, at in zip((z, y, x), centre, strict=True)) < size**2
    return (hu + 30 * bleed).round().astype(np.int16), bleed.astype(np.uint8)


def write_cohort(root: Path, count: int) -> None:
    """Write head CTs with masks in nnU-Net's raw layout."""
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    affine = np.diag([*_SPACING[::-1], 1.0])
    for number in range(count):
        ct, bleed = head_ct(number)
        nib.save(nib.Nifti1Image(ct.T, affine), root / "imagesTr" / f"case{number:04d}_0000.nii.gz")
        nib.save(nib.Nifti1Image(bleed.T, affine), root / "labelsTr" / f"case{number:04d}.nii.gz")
    labels = '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "hematoma": 1}}'
    (root / "dataset.json").write_text(labels)
