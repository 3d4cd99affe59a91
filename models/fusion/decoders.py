"""Decoders: from the token of a modality back to the encoder's input, for explanations by latent shift."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["TableDecoder", "VolumeDecoder"]

_SEED = 4  # longest edge of the small volume that a token is first mapped to


class VolumeDecoder(nn.Module):
    """Maps a token to a small volume, doubles its size up to half of `spatial_size`, then interpolates.

    Args:
        dim: Width of the token.
        out_channels: C.
        spatial_size: (D, H, W).
        width: Channels of the last layer before the output; earlier layers have more.
    """

    def __init__(self, *, dim: int, out_channels: int, spatial_size: Sequence[int], width: int = 8) -> None:
        super().__init__()
        self.spatial_size = list(spatial_size)
        doublings = max(0, math.ceil(math.log2(max(spatial_size) / _SEED / 2)))
        channels = [width * 2 ** min(level, 3) for level in range(doublings, -1, -1)]
        self.first = [channels[0], *(math.ceil(edge / 2 ** (doublings + 1)) for edge in spatial_size)]
        self.start = nn.Linear(dim, math.prod(self.first))
        steps: list[nn.Module] = []
        for before, after in pairwise(channels):
            steps += [nn.Upsample(scale_factor=2), nn.Conv3d(before, after, 3, padding=1), nn.GELU()]
        self.net = nn.Sequential(*steps, nn.Conv3d(channels[-1], out_channels, 3, padding=1))

    def forward(self, token: Tensor) -> Tensor:
        """Volumes (B, C, *spatial_size) of tokens (B, dim)."""
        volume = self.net(self.start(token).view(len(token), *self.first))
        return F.interpolate(volume, self.spatial_size, mode="trilinear", align_corners=False)


class TableDecoder(nn.Module):
    """A perceptron from the token to a row.

    Args:
        dim: Width of the token.
        features: Columns.
        hidden: Width of the hidden layer.
    """

    def __init__(self, *, dim: int, features: int, hidden: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, features))

    def forward(self, token: Tensor) -> Tensor:
        """Rows (B, features) of tokens (B, dim)."""
        return self.net(token)
