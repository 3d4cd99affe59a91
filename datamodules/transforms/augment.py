"""Random augmentation of a whole batch at once, in 2-D and 3-D.

Every image of the batch draws its own parameters, yet each operation is one tensor call, so a batch costs about the
same as a single image. All randomness comes from the generator that is passed in: the same generator state gives the
same batch, on any number of workers.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["BatchAugment"]


class BatchAugment:
    """Flips, one affine map, and changes of intensity.

    Images come in as float in [0, 1] and leave in [0, 1]. Every default is "off", so `BatchAugment()` is the identity.

    Args:
        flip: Spatial axes (0-based, without batch and channel) each flipped with probability 1/2.
        rotate: Largest rotation in degrees, drawn uniformly from [-rotate, rotate]; in 3-D one angle for each axis.
        scale: Largest relative change of size: the zoom is drawn uniformly from [1 - scale, 1 + scale].
        translate: Largest shift along each axis as a fraction of the image.
        contrast: Intensities are multiplied by a factor from [1 - contrast, 1 + contrast].
        brightness: A constant from [-brightness, brightness] is added.
        noise: Standard deviation of added Gaussian noise; each image draws its own from [0, noise].
        erase: A box whose edges measure this fraction of the image, at a random place, is set to zero in half of the
            images (random erasing, arXiv:1708.04896, with a fixed size).

    Raises:
        ValueError: If an amount is negative, or a zoom could reach zero.
    """

    def __init__(
        self,
        *,
        flip: Sequence[int] = (),
        rotate: float = 0.0,
        scale: float = 0.0,
        translate: float = 0.0,
        contrast: float = 0.0,
        brightness: float = 0.0,
        noise: float = 0.0,
        erase: float = 0.0,
    ) -> None:
        self.rotate, self.scale, self.translate = rotate, scale, translate
        self.contrast, self.brightness, self.noise, self.erase = contrast, brightness, noise, erase
        for name, value in vars(self).items():
            if value < 0 or (name in {"scale", "contrast", "erase"} and value >= 1):
                raise ValueError(f"augmentation {name}={value} is out of range: it must be >= 0 (a fraction below 1)")
        self.flip = tuple(flip)

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A new batch of `images` (B, C, *spatial), float in [0, 1], 2-D or 3-D; the generator is on their device."""
        dims = images.ndim - 2
        if any(not 0 <= axis < dims for axis in self.flip):
            raise ValueError(f"augmentation flip={list(self.flip)} names an axis outside 0..{dims - 1}")
        for axis in self.flip:
            chosen = _uniform(images, generator, 0, 1) < 0.5
            images = torch.where(chosen, images.flip(axis + 2), images)
        if self.rotate or self.scale or self.translate:
            images = self._affine(images, generator)
        if self.contrast:
            images = images * _uniform(images, generator, 1 - self.contrast, 1 + self.contrast)
        if self.brightness:
            images = images + _uniform(images, generator, -self.brightness, self.brightness)
        if self.noise:
            normal = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
            images = images + normal * _uniform(images, generator, 0, self.noise)
        if self.erase:
            images = self._erase(images, generator)
        return images.clamp(0, 1)

    def _affine(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Rotate, zoom and shift by one linear interpolation; what comes from outside the image is zero."""
        batch, dims = len(images), images.ndim - 2
        limit = math.radians(self.rotate)
        matrix = torch.eye(dims, device=images.device, dtype=images.dtype).expand(batch, dims, dims)
        for first in range(dims):
            for second in range(first + 1, dims):
                angle = _uniform(images, generator, -limit, limit).view(batch)
                rotation = torch.eye(dims, device=angle.device, dtype=angle.dtype).repeat(batch, 1, 1)
                rotation[:, first, first] = rotation[:, second, second] = angle.cos()
                rotation[:, first, second], rotation[:, second, first] = -angle.sin(), angle.sin()
                matrix = matrix @ rotation
        matrix = matrix / _uniform(images, generator, 1 - self.scale, 1 + self.scale).view(batch, 1, 1)
        # grid_sample measures in half widths, hence the factor 2.
        shift = 2 * self.translate * (2 * torch.rand(batch, dims, 1, generator=generator, device=images.device) - 1)
        grid = F.affine_grid(torch.cat([matrix, shift.to(matrix)], dim=2), list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def _erase(self, images: Tensor, generator: torch.Generator) -> Tensor:
        inside = _uniform(images, generator, 0, 1) < 0.5
        for axis, size in enumerate(images.shape[2:]):
            edge = max(1, round(self.erase * size))
            start = (_uniform(images, generator, 0, 1) * (size - edge + 1)).floor()
            position = torch.arange(size, device=images.device).view(-1, *[1] * (images.ndim - 3 - axis))
            inside = inside & (position >= start) & (position < start + edge)
        return images.masked_fill(inside, 0.0)


def _uniform(images: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    """One number for each image, shaped (B, 1, ...) to broadcast against `images`."""
    shape = (len(images),) + (1,) * (images.ndim - 1)
    return low + (high - low) * torch.rand(shape, generator=generator, device=images.device, dtype=images.dtype)
