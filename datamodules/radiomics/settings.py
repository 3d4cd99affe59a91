"""Settings of radiomics: families of features, mask policy, binning, definition."""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import IntFlag
from typing import Literal, get_args

__all__ = ["Definition", "Family", "Flag", "MaskPolicy", "RadiomicsSettings"]

Family = Literal["shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm"]
"""`shape` means `shape2D` for 2-D images."""

MaskPolicy = Literal["given", "otsu_bright", "otsu_dark", "nonzero", "full", "auto"]
"""Source of the mask: `given` with the image, pixels brighter or not brighter than Otsu's threshold, all non-zero
pixels, or the whole image. `auto`: the one of these that validation favours (`choice.py`), which a datamodule finds."""

Definition = Literal["pyradiomics", "ibsi"]


class Flag(IntFlag):
    """Why features of an image are NaN; 0 if none are."""

    EMPTY = 1
    """No voxel in the mask; every feature is NaN."""
    ONE_VOXEL = 2
    """One voxel in the mask; every feature is NaN."""
    CONSTANT = 4
    """Only one intensity in the mask; features that divide by its spread are NaN."""
    ONE_LEVEL = 8
    """Only one grey level in the mask after binning; features that divide by the spread of levels are NaN."""
    UNDEFINED = 16
    """Another feature divides by zero, such as texture if no two voxels of the mask touch."""


@dataclass(frozen=True)
class RadiomicsSettings:
    """Settings of an extraction; equal settings give equal features.

    The two definitions differ in kurtosis (`ibsi` subtracts 3), in axis lengths (the covariance of `ibsi` divides
    by N - 1), in where bins of a fixed width begin (at a multiple of the width; with `ibsi` at the smallest
    intensity of the mask), in the surface mesh (always closed with `ibsi`) and in NGTDM (`ibsi` ignores isolated
    voxels).

    Args:
        mask: Source of the masks.
        families: Families of features, in this order.
        bin_width: Width of a grey level, in units of the intensity.
        bin_count: Number of grey levels in each mask, instead of a width.
        spacing: Edge lengths of a voxel (mm), one for each axis in the order of the array; None for 1.
        voxel_shift: Added to intensities before Energy, TotalEnergy and RootMeanSquared, so that none is negative.
        definition: Definitions to use where pyradiomics 3.0.1 and the IBSI reference manual (v11) differ.

    Raises:
        ValueError: If a name is unknown or a size is not positive.
    """

    mask: MaskPolicy
    families: tuple[Family, ...] = ("shape", "firstorder")
    bin_width: float = 25.0
    bin_count: int | None = None
    spacing: tuple[float, ...] | None = None
    voxel_shift: float = 0.0
    definition: Definition = "pyradiomics"

    def __post_init__(self) -> None:
        object.__setattr__(self, "families", tuple(self.families))  # a config has lists
        _check_known("mask", [self.mask], get_args(MaskPolicy))
        _check_known("families", self.families, get_args(Family))
        _check_known("definition", [self.definition], get_args(Definition))
        if not self.families or len(set(self.families)) < len(self.families):
            raise ValueError(f"families={list(self.families)}: name at least one, and each once")
        if self.bin_width <= 0 or (self.bin_count is not None and self.bin_count < 1):
            raise ValueError(f"bin_width={self.bin_width} and bin_count={self.bin_count} must be positive")
        if self.spacing is not None and min(self.spacing) <= 0:
            raise ValueError(f"spacing={list(self.spacing)} must be positive")

    def spacing_of(self, spatial_dims: int) -> tuple[float, ...]:
        """Spacing with one value for each axis.

        Raises:
            ValueError: If the number of values differs from the number of axes.
        """
        spacing = (1.0,) * spatial_dims if self.spacing is None else tuple(map(float, self.spacing))
        if len(spacing) != spatial_dims:
            raise ValueError(f"spacing={list(spacing)} has {len(spacing)} values, images have {spatial_dims} axes")
        return spacing

    def as_json(self) -> str:
        """All settings as one line of JSON, equal for equal settings."""
        return json.dumps(asdict(self), sort_keys=True)

    def digest(self) -> str:
        """A hash of the settings, twelve hexadecimal digits."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()[:12]


def _check_known(name: str, given: object, known: tuple[str, ...]) -> None:
    for value in given if isinstance(given, list | tuple) else [given]:
        if value not in known:
            raise ValueError(f"{name}={value!r} is unknown; choose from {', '.join(known)}")
