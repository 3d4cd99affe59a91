"""Made images of earlier steps, so that a discriminator does not forget them (arXiv:1612.07828)."""

import torch
from torch import Tensor

__all__ = ["ImagePool"]


class ImagePool:
    """Gives back what comes in until it is full; then, of half of the images, older ones, whose places they take.

    It is no part of a checkpoint: a run that is resumed fills it anew.

    Args:
        size: Images that are kept; 50 in CycleGAN, 0 for none.
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
