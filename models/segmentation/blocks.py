"""Blocks that the segmentation networks share."""

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn

__all__ = ["ResNetDBlock", "ResidualBlock", "init_he"]


class ResidualBlock(nn.Module):
    """Convolution, norm, activation, convolution, norm, plus a projected input, activation; as in U-Mamba's code.

    Args:
        spatial_dims: 2 or 3.
        in_channels: Of the input.
        out_channels: Of the output.
        kernel: Size of both convolutions.
        stride: Of the first one.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, out_channels: int, kernel: Sequence[int], stride: Sequence[int]
    ) -> None:
        super().__init__()
        conv, norm = Conv[Conv.CONV, spatial_dims], Norm[Norm.INSTANCE, spatial_dims]
        padding = tuple(k // 2 for k in kernel)
        self.conv1 = conv(in_channels, out_channels, tuple(kernel), tuple(stride), padding)
        self.norm1 = norm(out_channels, affine=True)
        self.conv2 = conv(out_channels, out_channels, tuple(kernel), 1, padding)
        self.norm2 = norm(out_channels, affine=True)
        self.conv3 = conv(in_channels, out_channels, 1, tuple(stride))
        self.activation = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, *spatial) to (B, out_channels, *spatial / stride)."""
        y = self.activation(self.norm1(self.conv1(x)))
        return self.activation(self.norm2(self.conv2(y)) + self.conv3(x))


class ResNetDBlock(nn.Module):
    """The same with an unchanged input added, named like the block of dynamic-network-architectures (Apache-2.0)."""

    def __init__(self, spatial_dims: int, channels: int, kernel: Sequence[int]) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(spatial_dims, channels, kernel)
        self.conv2 = _ConvNorm(spatial_dims, channels, kernel)
        self.activation = nn.LeakyReLU(0.01, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, *spatial) to the same shape."""
        return self.activation(self.conv2(self.activation(self.conv1(x))) + x)


class _ConvNorm(nn.Module):
    def __init__(self, spatial_dims: int, channels: int, kernel: Sequence[int]) -> None:
        super().__init__()
        padding = tuple(k // 2 for k in kernel)
        self.conv = Conv[Conv.CONV, spatial_dims](channels, channels, tuple(kernel), 1, padding)
        self.norm = Norm[Norm.INSTANCE, spatial_dims](channels, affine=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


@torch.no_grad()
def init_he(module: nn.Module) -> None:
    """He initialisation of convolutions for a LeakyReLU of 0.01, biases 0; other layers keep theirs. For `apply`."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
        nn.init.kaiming_normal_(module.weight, a=0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
