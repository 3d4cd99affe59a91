"""Make the masks of a whole data set by a policy."""

import numpy as np
from skimage.filters import threshold_otsu

from medzoo.datamodules.radiomics.settings import MaskPolicy

__all__ = ["make_masks"]


def make_masks(images: np.ndarray, given: np.ndarray | None, policy: MaskPolicy) -> np.ndarray:
    """One mask for each image.

    Args:
        images: (N, *spatial) intensities.
        given: (N, *spatial) or (N, 1, *spatial), above 0 inside, for the policy `given`; None for all others.
        policy: Source of the masks.

    Returns:
        (N, *spatial) bool.

    Raises:
        ValueError: If masks do not match the policy or the images.
    """
    if policy == "auto":
        raise ValueError("settings.mask=auto: a datamodule chooses the masks from labels; here name a policy")
    if (given is not None) != (policy == "given"):
        state = "masks were given" if given is not None else "no masks were given"
        raise ValueError(f"{state}, but settings.mask={policy}; set it to 'given' exactly where masks are given")
    if given is not None:
        return _check_given(np.asarray(given), images.shape)
    if policy == "full":
        return np.ones(images.shape, bool)
    if policy == "nonzero":
        return images != 0
    brighter = images > _otsu(images).reshape(-1, *(1,) * (images.ndim - 1))
    return brighter if policy == "otsu_bright" else ~brighter


def _check_given(masks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if masks.ndim == len(shape) + 1 and masks.shape[1] == 1:
        masks = masks[:, 0]
    if masks.shape != shape:
        raise ValueError(f"masks of shape {masks.shape} do not fit images of shape {shape}")
    return masks > 0


def _otsu(images: np.ndarray) -> np.ndarray:
    """(N,) thresholds of Otsu (1979), equal to `skimage.filters.threshold_otsu`; uint8 images are processed together.

    In a constant image nothing is brighter than the threshold.
    """
    if images.dtype != np.uint8:
        return np.array([threshold_otsu(image) for image in images])
    flat = images.reshape(len(images), -1)
    keys = (np.arange(len(flat), dtype=np.int32)[:, None] << 8) + flat
    counts = np.bincount(keys.ravel(), minlength=len(flat) << 8).reshape(-1, 256).astype(float)
    below, sums = counts.cumsum(1)[:, :-1], (counts * np.arange(256)).cumsum(1)
    above, total = flat.shape[1] - below, sums[:, -1:]
    sums = sums[:, :-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (total - sums) / above) ** 2
    best = np.nan_to_num(between, nan=-1.0).argmax(1)
    return np.where(flat.min(1) == flat.max(1), flat.max(1), best)
