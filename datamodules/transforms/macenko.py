"""Normalisation of H&E stains after Macenko et al. 2009 (doi:10.1109/ISBI.2009.5193250).

Constants and the order of steps are those of torchstain 1.4.1 (MIT, github.com/EIDOSLAB/torchstain), numpy backend,
against which it is tested. Differs: images keep layout and dtype, and those without tissue pass through with a flag.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["REFERENCE", "MacenkoNormalizer", "Stains", "estimate_stains"]

_WHITE, _ALPHA, _BETA = 240.0, 1.0, 0.15  # transmitted light; percentile of angles; density below which glass is seen
_LEAST = 64  # pixels of tissue from which colours can be told


@dataclass(frozen=True)
class Stains:
    """What hematoxylin and eosin look like on a slide.

    Attributes:
        colours: (3, 2) optical density of red, green, blue; hematoxylin, then eosin, each of length 1.
        strength: (2,) 99th percentile of the concentration of each.
    """

    colours: Tensor
    strength: Tensor


REFERENCE = Stains(
    torch.tensor([[0.5626, 0.2159], [0.7201, 0.8012], [0.4062, 0.5581]], dtype=torch.float64),
    torch.tensor([1.9705, 1.0308], dtype=torch.float64),
)
"""The reference slide of the paper's code, as torchstain has it."""


@dataclass(frozen=True)
class MacenkoNormalizer:
    """Gives tiles the stains of a reference, `target`."""

    target: Stains = REFERENCE

    @classmethod
    def of(cls, image: Tensor) -> "MacenkoNormalizer":
        """To the stains of an image (3, H, W).

        Raises:
            ValueError: If it shows too little tissue.
        """
        stains = estimate_stains(_density(image))
        if stains is None:
            raise ValueError("the reference image shows no tissue to take stains from")
        return cls(stains)

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalise (3, H, W) or (B, 3, H, W), uint8 from 0 to 255 or floating point from 0 to 1.

        Returns:
            Images of the same shape and dtype, and () or (B,) bool: False where an image shows too little tissue, or
            one stain only; such an image is returned as it was. Nothing is raised, since one blank tile must not end a
            training.
        """
        if images.ndim == 4:
            pairs = [self(image) for image in images]
            if not pairs:
                return images, torch.zeros(0, dtype=torch.bool)
            return torch.stack([image for image, _ in pairs]), torch.stack([done for _, done in pairs])
        density = _density(images)
        stains = estimate_stains(density)
        if stains is None:
            return images, torch.tensor(False)
        amounts = torch.linalg.pinv(stains.colours) @ density
        amounts *= (self.target.strength / stains.strength).to(amounts)[:, None]
        levels = (_WHITE * torch.exp(-self.target.colours.to(amounts) @ amounts)).clamp(0, 255).view(images.shape)
        scale = 255 if images.is_floating_point() else 1
        return (levels / scale).to(images.dtype), torch.tensor(True)


def estimate_stains(density: Tensor) -> Stains | None:
    """Stains of the pixels of an image, by their optical density (3, n) float64.

    There are none where too few pixels are tissue, or these have one colour.
    """
    tissue = density[:, (density >= _BETA).all(0)]
    if tissue.shape[1] < _LEAST:
        return None
    plane = torch.linalg.eigh(torch.cov(tissue)).eigenvectors[:, 1:]
    along = plane.T @ tissue
    angles = torch.atan2(along[1], along[0])
    ends = torch.stack([_percentile(angles, share) for share in (_ALPHA, 100 - _ALPHA)])
    first, second = (plane @ torch.stack([torch.cos(ends), torch.sin(ends)])).T
    colours = torch.stack([first, second] if first[0] > second[0] else [second, first], dim=1)
    amounts = torch.linalg.pinv(colours) @ density
    strength = torch.stack([_percentile(row, 99) for row in amounts])
    if not (torch.isfinite(strength).all() and (strength > 1e-6).all() and torch.linalg.cond(colours) < 1e4):
        return None
    return Stains(colours, strength)


def _density(image: Tensor) -> Tensor:
    """(3, n) float64 optical density of an image (3, H, W)."""
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"image of shape {tuple(image.shape)}; expected (3, H, W) or (B, 3, H, W)")
    levels = image.double() * (255 if image.is_floating_point() else 1)
    return -torch.log((levels.flatten(1) + 1) / _WHITE)


def _percentile(values: Tensor, share: float) -> Tensor:
    """Linear between ranks, as numpy's; torch.quantile refuses more than 16 million values."""
    ordered = values.sort().values
    place = share / 100 * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])
