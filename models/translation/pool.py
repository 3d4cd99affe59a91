"""A pool of earlier translated images, so that a discriminator does not forget them (arXiv:1612.07828)."""

import torch
from torch import Tensor

__all__ = ["ImagePool"]


class ImagePool:
    """Returns its input until full; then swaps each image, with probability 0.5, for a stored one.

    Not part of a checkpoint: a resumed run fills it again.

    Args:
        size: Number of stored images; 50 in CycleGAN, 0 to return every input.
    """

    def __init__(self, size: int = 50) -> None:
        self.size = size
        self._kept: list[Tensor] = []

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape, without gradient; draws from torch's own random numbers."""
        given = []
        for image in images.detach():
            if len(self._kept) < self.size:
                self._kept.append(image)
            elif self.size and torch.rand(()) < 0.5:
                place = int(torch.randint(self.size, ()))
                image, self._kept[place] = self._kept[place], image
            given.append(image)
        return torch.stack(given)
