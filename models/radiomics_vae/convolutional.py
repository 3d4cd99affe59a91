"""Convolutional encoder and decoder without skip connections, in 2-D and 3-D, for images of any size.

Vétil et al. 2023 (arXiv:2308.11389, figure 5), who took the stages of nnU-Net and left out its skips; no code was
released. With their sizes both together have the 1,110,240 parameters that the paper states. Here sizes need not
be multiples of the strides: a decoder stage that comes out too large is cropped.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn

__all__ = ["ConvDecoder", "ConvEncoder", "Sizes"]

Edges = int | Sequence[int]
"""One number for each axis, or one for all."""
LARGEST = 12.0
"""Of the absolute log variance of a latent: beyond it the exponential overflows half precision."""


class Sizes:
    """Sizes that encoder and decoder share.

    Args:
        spatial_dims: 2 or 3.
        in_channels: Of the image.
        image_size: Its edges in pixels.
        channels: Of each stage.
        strides: Of each stage; that of the first is 1.
        kernels: Kernel size of each stage's convolution nearer to the image; the other one has size 3.
        norm: `instance`, as in the paper, removes the mean of each map; `batch` keeps differences between images.
        output: `sigmoid` for images in [0, 1], as the paper's figure has it; `identity` for standardised ones.

    Raises:
        ValueError: If lengths or sizes do not fit.
    """

    def __init__(
        self,
        *,
        spatial_dims: int,
        in_channels: int,
        image_size: Sequence[int],
        channels: Sequence[int] = (16, 32, 64, 128),
        strides: Sequence[Edges] = (1, 2, 2, 2),
        kernels: Sequence[Edges] = (3, 3, 3, 3),
        norm: Literal["instance", "batch"] = "instance",
        output: Literal["identity", "sigmoid"] = "identity",
    ) -> None:
        if output not in ("identity", "sigmoid"):
            raise ValueError(f"output={output}: expected identity or sigmoid")
        if spatial_dims not in (2, 3) or len(image_size) != spatial_dims:
            raise ValueError(f"image_size={list(image_size)} does not have spatial_dims={spatial_dims} edges")
        if not len(channels) == len(strides) == len(kernels):
            raise ValueError(
                f"{len(channels)} channels, {len(strides)} strides and {len(kernels)} kernels: give equally many"
            )
        self.spatial_dims, self.in_channels, self.norm, self.output = spatial_dims, in_channels, norm, output
        self.channels = list(channels)
        self.strides, self.kernels = ([self._edges(each) for each in edges] for edges in (strides, kernels))
        if max(self.strides[0]) > 1:
            raise ValueError(f"strides={list(strides)}: the first stage works at full size, so its stride is 1")
        self.sizes: list[list[int]] = []
        edges = list(image_size)
        for stride in self.strides:
            edges = [math.ceil(edge / step) for edge, step in zip(edges, stride, strict=True)]
            self.sizes.append(edges)
        if math.prod(self.sizes[-1]) < 2:
            raise ValueError(f"image_size={list(image_size)} is one pixel after the last stage: take fewer stages")

    @property
    def flat(self) -> int:
        """Numbers in the smallest map."""
        return self.channels[-1] * math.prod(self.sizes[-1])

    def block(self, before: int, after: int, kernel: Edges = 3, stride: Edges = 1) -> list[nn.Module]:
        """Convolution, normalisation, activation."""
        wide = self._edges(kernel)
        padding = tuple(edge // 2 for edge in wide)
        return [
            Conv[Conv.CONV, self.spatial_dims](before, after, wide, self._edges(stride), padding),
            Norm[self.norm, self.spatial_dims](after, affine=True),
            nn.LeakyReLU(),
        ]

    def _edges(self, edges: Edges) -> tuple[int, ...]:
        if isinstance(edges, int):
            return (edges,) * self.spatial_dims
        if len(edges) != self.spatial_dims:
            raise ValueError(f"{list(edges)} is not one number for each of {self.spatial_dims} axes")
        return tuple(edges)


class ConvEncoder(nn.Module):
    """From an image to mean and log variance of its latent.

    Args:
        sizes: Of the maps.
        latent_features: D.
    """

    def __init__(self, sizes: Sizes, latent_features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = sizes.in_channels
        for channels, stride, kernel in zip(sizes.channels, sizes.strides, sizes.kernels, strict=True):
            layers += [*sizes.block(before, channels, kernel, stride), *sizes.block(channels, channels)]
            before = channels
        self.body = nn.Sequential(*layers, nn.Flatten())
        self.mean = nn.Linear(sizes.flat, latent_features)
        self.log_variance = nn.Linear(sizes.flat, latent_features)
        _lay_out(self, sizes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, D) of images (B, C, *spatial)."""
        flat = self.body(image)
        return self.mean(flat).float(), self.log_variance(flat).float().clamp(-LARGEST, LARGEST)


class ConvDecoder(nn.Module):
    """From a code to an image.

    Args:
        sizes: Of the maps, those of the encoder.
        code_features: Length of a code.
    """

    def __init__(self, sizes: Sizes, code_features: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.grow = nn.Linear(code_features, sizes.flat)
        dims, channels = sizes.spatial_dims, sizes.channels
        self.up, self.stages = nn.ModuleList(), nn.ModuleList()
        for level in range(len(channels) - 1, 0, -1):
            stride, after = sizes.strides[level], channels[level - 1]
            self.up.append(Conv[Conv.CONVTRANS, dims](channels[level], after, stride, stride, bias=False))
            kernel = sizes.kernels[level - 1]
            self.stages.append(nn.Sequential(*sizes.block(after, after), *sizes.block(after, after, kernel)))
        self.last = Conv[Conv.CONV, dims](channels[0], sizes.in_channels, 1, bias=False)
        self.output = nn.Sigmoid() if sizes.output == "sigmoid" else nn.Identity()
        _lay_out(self, sizes)

    def forward(self, code: Tensor) -> Tensor:
        """Images (B, C, *spatial) of codes (B, F)."""
        maps = self.grow(code).unflatten(1, (self.sizes.channels[-1], *self.sizes.sizes[-1]))
        for up, stage, edges in zip(self.up, self.stages, self.sizes.sizes[-2::-1], strict=True):
            maps = stage(_cropped(up(maps), edges))
        return self.output(self.last(maps)).float()


def _lay_out(net: nn.Module, sizes: Sizes) -> None:
    """Store 3-D kernels channels-last: with few channels a step on a CPU takes half the time."""
    if sizes.spatial_dims == 3:
        net.to(memory_format=torch.channels_last_3d)


def _cropped(maps: Tensor, edges: Sequence[int]) -> Tensor:
    for axis, edge in enumerate(edges, start=2):
        maps = torch.narrow(maps, axis, 0, edge)
    return maps
