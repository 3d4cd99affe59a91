"""The same patches by the pipelines of MONAI and nnU-Net."""

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from monai import transforms as T
from monai.data import DataLoader, Dataset

__all__ = ["has_nnunet", "monai_batches", "nnunet_augment"]


def monai_batches(cases: Sequence[dict[str, Any]], patch: Sequence[int], batch_size: int) -> Iterator[Any]:
    """Batches of MONAI's own loader: its crop, and its transforms with the ranges and probabilities of ours."""
    both, gamma = ["image", "mask"], {"gamma": (0.7, 1.5), "retain_stats": True}
    zoom = {"min_zoom": [1.0, 0.7, 0.7], "max_zoom": [1.0, 1.4, 1.4], "mode": ["trilinear", "nearest"]}
    augment = [
        T.RandCropByPosNegLabeld(both, "mask", list(patch), pos=1, neg=2, num_samples=batch_size),
        T.RandRotated(both, prob=0.2, range_x=np.pi, mode=["bilinear", "nearest"], padding_mode="zeros"),
        T.RandZoomd(both, prob=0.2, padding_mode="constant", **zoom),
        T.RandGaussianNoised("image", prob=0.1, std=np.sqrt(0.1)),
        T.RandGaussianSmoothd("image", prob=0.1, sigma_x=(0.5, 1.0), sigma_y=(0.5, 1.0), sigma_z=(0.5, 1.0)),
        T.RandScaleIntensityd("image", prob=0.15, factors=0.25),
        T.RandScaleIntensityFixedMeand("image", prob=0.15, factors=0.25, preserve_range=True),
        T.RandSimulateLowResolutiond("image", prob=0.125, upsample_mode="trilinear"),
        T.RandAdjustContrastd("image", prob=0.1, invert_image=True, **gamma),
        T.RandAdjustContrastd("image", prob=0.3, **gamma),
        *(T.RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)),
    ]
    data = Dataset(list(cases), T.Compose([*augment, T.EnsureTyped(both)]))
    loader = DataLoader(data, batch_size=1, shuffle=True, num_workers=0)  # once: a new one seeds all transforms alike
    while True:
        yield from loader


def has_nnunet() -> bool:
    """Whether nnU-Net's augmentation is installed: `pip install batchgeneratorsv2`."""
    return importlib.util.find_spec("batchgeneratorsv2") is not None


def nnunet_augment(patch: Sequence[int]) -> Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]:
    """nnU-Net 2.8.1's `get_training_transforms` with thick slices, as an augmentation of our patches."""
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform as Brightness
    from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
    from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
    from batchgeneratorsv2.transforms.utils.random import RandomTransform

    one = {"synchronize_channels": False, "p_per_channel": 1}
    gamma = {"gamma": BGContrast((0.7, 1.5)), "p_retain_stats": 1, **one}
    blur = GaussianBlurTransform(
        (0.5, 1.0), synchronize_channels=False, synchronize_axes=False, p_per_channel=0.5, benchmark=True
    )
    low = SimulateLowResolutionTransform(
        scale=(0.5, 1),
        synchronize_channels=False,
        synchronize_axes=True,
        ignore_axes=(0,),
        allowed_channels=None,
        p_per_channel=0.5,
    )
    compose = ComposeTransforms(
        [
            Convert3DTo2DTransform(),
            SpatialTransform(
                patch[1:],
                patch_center_dist_from_border=0,
                random_crop=False,
                p_elastic_deform=0,
                p_rotation=0.2,
                rotation=(-np.pi, np.pi),
                p_scaling=0.2,
                scaling=(0.7, 1.4),
                p_synchronize_scaling_across_axes=1,
                bg_style_seg_sampling=False,
                border_mode_seg="constant",
                padding_value_seg=-1,
            ),
            Convert2DTo3DTransform(),
            RandomTransform(GaussianNoiseTransform((0, 0.1), p_per_channel=1, synchronize_channels=True), 0.1),
            RandomTransform(blur, 0.2),
            RandomTransform(Brightness(BGContrast((0.75, 1.25)), **one), 0.15),
            RandomTransform(ContrastTransform(BGContrast((0.75, 1.25)), preserve_range=True, **one), 0.15),
            RandomTransform(low, 0.25),
            RandomTransform(GammaTransform(p_invert_image=1, **gamma), 0.1),
            RandomTransform(GammaTransform(p_invert_image=0, **gamma), 0.3),
            MirrorTransform(allowed_axes=(0, 1, 2)),
        ]
    )

    def augment(image: np.ndarray, mask: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        given = {"image": torch.from_numpy(image), "segmentation": torch.from_numpy(mask[None].astype(np.int16))}
        made = compose(**given)
        return made["image"].numpy(), made["segmentation"][0].numpy()

    return augment
