"""Gaussian noise that is correlated along the slices of a volume, so that slices denoised in 2-D agree."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["slice_correlated_noise"]


def slice_correlated_noise(
    positions_mm: Tensor | Sequence[float],
    shape: Sequence[int],
    length_mm: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Unit-variance noise whose correlation between two slices is exp(-distance / length).

    An Ornstein-Uhlenbeck process along z, independent for every sample and pixel: exact for uneven positions in any
    order, since each slice depends on its neighbour only.

    Args:
        positions_mm: (S,) position of each slice in mm.
        shape: (N, S, ...), for instance (N, S, C, H, W).
        length_mm: Correlation length in mm; 0 makes slices independent, inf shares one noise among all.
        generator: Source of the draws; fixes the device too (CPU by default).

    Returns:
        Float32 noise of `shape`, on the device of the generator.

    Raises:
        ValueError: If the positions do not fit the shape or the length is negative.
    """
    positions = torch.as_tensor(positions_mm, dtype=torch.float64).tolist()
    if len(shape) < 2 or len(positions) != shape[1]:
        raise ValueError(
            f"{len(positions)} slice positions do not fit noise of shape {tuple(shape)}: expected (N, S, ...)"
        )
    if not length_mm >= 0:
        raise ValueError(f"length_mm={length_mm} is out of range: expected 0 or more")
    device = None if generator is None else generator.device
    noise = torch.randn(tuple(shape), generator=generator, device=device)
    order = sorted(range(len(positions)), key=positions.__getitem__)
    for before, here in pairwise(order):
        distance = positions[here] - positions[before]
        kept = math.exp(-distance / length_mm) if length_mm > 0 else 0.0
        noise[:, here] = kept * noise[:, before] + math.sqrt(1 - kept**2) * noise[:, here]
    return noise
