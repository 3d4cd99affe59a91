"""One level of detail and of noise for images of any source, so that neither tells where an image is from."""

from hashlib import blake2b

import numpy as np
import torch
import torch.nn.functional as F

__all__ = ["reduced", "with_noise"]


def reduced(images: np.ndarray, side: int, noise: float = 0.0) -> np.ndarray:
    """Images as a reader with this resolution and noise gives them.

    Args:
        images: (N, H, W) in [0, 1].
        side: Pixels along each axis of the result.
        noise: Of `with_noise`.

    Returns:
        (N, side, side) in steps of 1 / 255.
    """
    grey = torch.from_numpy(np.rint(255 * np.asarray(images, np.float32)))[:, None]
    if grey.shape[-2:] != (side, side):
        grey = F.interpolate(grey, (side, side), mode="bilinear", antialias=True)
    return with_noise(grey.round().clamp(0, 255).byte().numpy(), noise)[:, 0] / 255


def with_noise(images: np.ndarray, noise: float) -> np.ndarray:
    """Add Gaussian noise, which is the same whenever the same image is read.

    Args:
        images: (N, ...) uint8.
        noise: Standard deviation in units of full scale.

    Returns:
        The same shape, uint8.
    """
    if not noise:
        return images
    made = np.empty_like(images)
    for number, image in enumerate(images):
        seed = int.from_bytes(blake2b(np.ascontiguousarray(image).tobytes(), digest_size=8).digest(), "big")
        drawn = np.random.default_rng(seed).normal(0, 255 * noise, image.shape)
        made[number] = np.rint(image + drawn).clip(0, 255)
    return made
