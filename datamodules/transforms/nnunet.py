"""nnU-Net's training augmentation, made of MONAI's transforms.

github.com/MIC-DKFZ/nnUNet, commit 0e49508 (Apache-2.0), `nnUNetTrainer.get_training_transforms`: the same operations,
ranges and probabilities, but all channels of an image are blurred or none. Rotations fill with 0 from outside the
patch; nnU-Net cuts larger patches first.
"""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from monai import transforms as T
from monai.utils import convert_to_tensor
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

__all__ = ["NNUNetAugment"]

_BOTH = ["image", "mask"]


class NNUNetAugment:
    """Rotation, zoom, noise, blur, brightness, contrast, low resolution, two kinds of gamma, flips.

    If the first axis of a 3-D patch has at most a third of the voxels of another, slices are thick, and images are
    rotated and zoomed in plane only, all slices alike.

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
        turned = 2 if thick else axes
        ranges: dict[str, Any] = {
            f"range_{axis}": math.pi / (6 if turned == 3 else 1) for axis in "xyz"[: 2 * turned - 3]
        }
        smooth, flat = ("trilinear" if count == 3 else "bilinear" for count in (axes, turned))
        gamma: dict[str, Any] = {"gamma": (0.7, 1.5), "retain_stats": True}
        p, flips = self.strength, range(axes) if self.flip is None else self.flip
        turn: list[T.Transform] = [
            T.RandRotated(_BOTH, prob=0.2 * p, mode=["bilinear", "nearest"], padding_mode="zeros", **ranges),
            T.RandZoomd(
                _BOTH, prob=0.2 * p, min_zoom=0.7, max_zoom=1.4, mode=[flat, "nearest"], padding_mode="constant"
            ),
        ]
        if thick:  # a slice is a channel of a 2-D image
            turn = [T.Lambdad(_BOTH, _flattened), *turn, T.Lambdad(_BOTH, _unflattened(patch[0]))]
        return T.Compose(
            [
                *turn,
                T.RandGaussianNoised("image", prob=0.1 * p, std=math.sqrt(0.1)),
                _Blur(0.1 * p),  # nnU-Net: 0.2, of each channel a half
                T.RandScaleIntensityd("image", prob=0.15 * p, factors=0.25),
                T.RandScaleIntensityFixedMeand("image", prob=0.15 * p, factors=0.25, preserve_range=True),
                T.RandSimulateLowResolutiond("image", prob=0.125 * p, upsample_mode=smooth),  # 0.25, likewise
                T.RandAdjustContrastd("image", prob=0.1 * p, invert_image=True, **gamma),
                T.RandAdjustContrastd("image", prob=0.3 * p, **gamma),
                *(T.RandFlipd(_BOTH, prob=0.5 * min(p, 1), spatial_axis=axis) for axis in flips),
            ]
        )


class _Blur(T.RandomizableTransform):
    """Blurs the image along each axis, all channels alike; MONAI's takes six times as long and darkens the borders."""

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        self.randomize(None)
        if not self._do_transform:
            return {**data}
        image = np.asarray(data["image"])
        sigma = [self.R.uniform(0.5, 1.0) for _ in image.shape[1:]]
        return {**data, "image": np.stack([gaussian_filter(channel, sigma) for channel in image])}


def _flattened(image: Tensor) -> Tensor:
    return image.reshape(-1, *image.shape[2:])


def _unflattened(slices: int) -> Callable[[Any], Tensor]:
    def unflattened(image: Tensor) -> Tensor:
        plain = convert_to_tensor(image, track_meta=False)  # which does not remember that it had two axes
        return plain.reshape(-1, slices, *plain.shape[1:])

    return unflattened
