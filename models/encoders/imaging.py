"""Encoders of volumes: a 3-D network of MONAI, or a 2-D network of timm on every slice (2.5-D)."""

from typing import Any

import torch
from torch import Tensor, nn

from medzoo.models.classification import monai_network, timm_network
from medzoo.models.encoders.pooling import GatedAttention

__all__ = ["SliceEncoder", "VolumeEncoder"]


class VolumeEncoder(nn.Module):
    """A 3-D network whose last layer outputs the token.

    Args:
        name: A classifier of MONAI, such as `resnet50`.
        in_channels: C.
        dim: Width of the token.
        **options: Of the network, such as `widen_factor`.
    """

    def __init__(self, name: str, *, in_channels: int, dim: int, **options: Any) -> None:
        super().__init__()
        self.net = monai_network(name, spatial_dims=3, in_channels=in_channels, num_classes=dim, **options)

    def forward(self, volume: Tensor) -> Tensor:
        """Tokens (B, dim) of volumes (B, C, D, H, W)."""
        return self.net(volume)


class SliceEncoder(nn.Module):
    """A 2-D network on every slice and its neighbours; gated attention pools the slices into one token.

    Args:
        name: A network of timm, such as `resnet50` or `ghostnet_100`.
        in_channels: C.
        dim: Width of the token.
        neighbours: Slices above and below each slice that are added as channels; repeated at the ends.
        **options: Of `timm_network`, such as `pretrained` or `small_stem`.

    Raises:
        ValueError: If `neighbours` is negative.
    """

    def __init__(self, name: str, *, in_channels: int, dim: int, neighbours: int = 1, **options: Any) -> None:
        super().__init__()
        if neighbours < 0:
            raise ValueError(f"neighbours={neighbours}: expected 0 or more")
        self.neighbours = neighbours
        self.net = timm_network(name, in_channels=in_channels * (2 * neighbours + 1), num_classes=dim, **options)
        self.pool = GatedAttention(dim)

    def forward(self, volume: Tensor) -> Tensor:
        """Tokens (B, dim) of volumes (B, C, D, H, W)."""
        batch, _, depth = volume.shape[:3]
        shifts = range(-self.neighbours, self.neighbours + 1)
        places = torch.arange(depth, device=volume.device)
        slabs = torch.cat([volume[:, :, (places + shift).clamp(0, depth - 1)] for shift in shifts], 1)
        slices = self.net(slabs.transpose(1, 2).flatten(0, 1))
        return self.pool(slices.unflatten(0, (batch, depth)))[0]
