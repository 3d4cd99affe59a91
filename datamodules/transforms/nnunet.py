"""nnU-Net's training augmentation, made of MONAI's transforms.

github.com/MIC-DKFZ/nnUNet, commit 0e49508 (Apache-2.0), `nnUNetTrainer.get_training_transforms`: the same operations,
ranges and probabilities. Rotations fill with 0 from outside the patch; nnU-Net cuts larger patches first.
"""

import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from monai import transforms as T
from numpy.typing import NDArray

__all__ = ["NNUNetAugment"]

_BOTH = ["image", "mask"]


class NNUNetAugment:
    """Rotation, zoom, noise, blur, brightness, contrast, low resolution, two kinds of gamma, flips.

    If the first axis of a 3-D patch has at most a third of the voxels of another, slices are thick, and images are
    rotated and zoomed in plane only.

    Args:
        flip: Axes that may be flipped; null for all.
        strength: Scales all probabilities; 0 switches augmentation off.
    """

    def __init__(self, flip: Sequence[int] | None = (), strength: float = 1.0) -> None:
        if strength < 0:
            raise ValueError(f"strength={strength} must not be negative")
        self.flip, self.strength = flip, strength
        self._local = threading.local()  # transforms hold their random state

    def __call__(self, image: NDArray, mask: NDArray, seed: int) -> tuple[NDArray, NDArray]:
        """Augment an image (C, *patch) and a mask (*patch); the same seed gives the same result."""
        patch = mask.shape
        if getattr(self._local, "patch", None) != patch:
            self._local.patch, self._local.compose = patch, self._composed(patch)
        self._local.compose.set_random_state(seed=seed % 2**32)
        augmented = self._local.compose({"image": image, "mask": mask[None]})
        return np.asarray(augmented["image"], np.float32), np.asarray(augmented["mask"])[0].astype(mask.dtype)

    def _composed(self, patch: Sequence[int]) -> T.Compose:
        axes = len(patch)
        thick = axes == 3 and max(patch) >= 3 * patch[0]
        turns = [math.pi] if thick or axes == 2 else [math.pi / 6] * 3
        ranges: dict[str, Any] = {f"range_{axis}": turn for axis, turn in zip("xyz", turns, strict=False)}
        low, high = ([1.0, 0.7, 0.7], [1.0, 1.4, 1.4]) if thick else (0.7, 1.4)
        sigma: dict[str, Any] = {f"sigma_{axis}": (0.5, 1.0) for axis in "xyz"[:axes]}
        smooth = "trilinear" if axes == 3 else "bilinear"
        gamma: dict[str, Any] = {"gamma": (0.7, 1.5), "retain_stats": True}
        p, flips = self.strength, range(axes) if self.flip is None else self.flip
        return T.Compose(
            [
                T.RandRotated(_BOTH, prob=0.2 * p, mode=["bilinear", "nearest"], padding_mode="zeros", **ranges),
                T.RandZoomd(
                    _BOTH, prob=0.2 * p, min_zoom=low, max_zoom=high, mode=[smooth, "nearest"], padding_mode="constant"
                ),
                T.RandGaussianNoised("image", prob=0.1 * p, std=math.sqrt(0.1)),
                T.RandGaussianSmoothd("image", prob=0.2 * p, **sigma),
                T.RandScaleIntensityd("image", prob=0.15 * p, factors=0.25),
                T.RandScaleIntensityFixedMeand("image", prob=0.15 * p, factors=0.25, preserve_range=True),
                T.RandSimulateLowResolutiond("image", prob=0.25 * p, upsample_mode=smooth),
                T.RandAdjustContrastd("image", prob=0.1 * p, invert_image=True, **gamma),
                T.RandAdjustContrastd("image", prob=0.3 * p, **gamma),
                *(T.RandFlipd(_BOTH, prob=0.5 * min(p, 1), spatial_axis=axis) for axis in flips),
            ]
        )
