"""UNETR++: a U-shaped transformer whose blocks attend over channels and, by a few projected tokens, over space.

Shaker et al. 2022 (arXiv:2212.04497, TMI 2024); github.com/Amshaker/unetr_plus_plus, commit dcba1c6 (Apache-2.0; read
for facts). Differences: sizes of all stages follow from the image size, other sizes fit by interpolating the weights
that depend on it, and the outputs of the spatial attention keep their order (issue 62 there); `released` scrambles
them as the published code does.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from monai.networks.blocks.dynunet_block import UnetResBlock
from monai.networks.layers.factories import Conv
from torch import Tensor, nn

from medzoo.models.segmentation.padding import crop_logits, pad_to_multiple

__all__ = ["UNETRPP", "EfficientPairedAttention"]


class UNETRPP(nn.Module):
    """Logits of an image at the three highest resolutions of the decoder.

    Args:
        spatial_dims: 2 or 3.
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        image_size: Usual size of an image; each side a multiple of `patch_size` times 8.
        patch_size: Size of the patch that becomes a token, the stride of the first convolution.
        features: Channels of each of the 4 stages.
        projections: Tokens to which space is projected at each stage.
        depth: Blocks of each stage.
        heads: Attention heads.
        dropout: Dropout rate in the attention.
        convs: Residual convolution blocks in each transformer block.
        deep_supervision: Return the logits of three resolutions, not only of the first.
        released: Scramble the spatial attention as the published code does, for its weights.
        shared: One projection of keys and values to tokens (Synapse), or one for each (lung, ACDC).
    """

    drop_last = False  # in its loss the lowest head has a weight too, half of the one above it

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        image_size: Sequence[int],
        patch_size: Sequence[int] = (1, 4, 4),
        features: Sequence[int] = (32, 64, 128, 256),
        projections: Sequence[int] = (64, 64, 64, 32),
        depth: int = 3,
        heads: int = 4,
        dropout: float = 0.1,
        convs: int = 2,
        deep_supervision: bool = True,
        released: bool = False,
        shared: bool = True,
    ) -> None:
        super().__init__()
        if not len(features) == len(projections) == 4:
            raise ValueError(f"features={list(features)} and projections={list(projections)} must have 4 entries each")
        self.multiple = [side * 2 ** (len(features) - 1) for side in patch_size]
        if any(side % by for side, by in zip(image_size, self.multiple, strict=True)):
            raise ValueError(f"image_size {tuple(image_size)} must hold multiples of {tuple(self.multiple)}")
        conv, up = Conv[Conv.CONV, spatial_dims], Conv[Conv.CONVTRANS, spatial_dims]
        grids = [
            [side // by // 2**stage for side, by in zip(image_size, patch_size, strict=True)]
            for stage in range(len(features))
        ]
        stages = list(zip(grids, features, projections, strict=True))

        def blocks(grid: Sequence[int], dim: int, tokens: int) -> nn.Sequential:
            return nn.Sequential(
                *(_Block(grid, dim, tokens, heads, dropout, convs, released, shared) for _ in range(depth))
            )

        full = features[0] // 2
        self.down = nn.ModuleList(
            nn.Sequential(conv(before, after, step, step, bias=False), nn.GroupNorm(before, after))
            for before, after, step in zip(
                [in_channels, *features[:-1]], features, [tuple(patch_size), 2, 2, 2], strict=True
            )
        )
        self.encoder = nn.ModuleList(blocks(*stage) for stage in stages)
        self.up = nn.ModuleList(up(below, above, 2, 2, bias=False) for above, below in pairwise(features))
        self.decoder = nn.ModuleList(blocks(*stage) for stage in stages[:-1])
        self.skip = UnetResBlock(spatial_dims, in_channels, full, 3, 1, "instance")
        self.last_up = up(features[0], full, tuple(patch_size), tuple(patch_size), bias=False)
        self.last = UnetResBlock(spatial_dims, full, full, 3, 1, "instance")
        widths = [full, *features[: 2 if deep_supervision else 0]]
        self.heads = nn.ModuleList(conv(width, out_channels, 1) for width in widths)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, in_channels, *spatial) to logits, full resolution first: [(B, out_channels, *spatial), ...]."""
        size = x.shape[2:]
        image = pad_to_multiple(x, self.multiple)
        x, skips = image, []
        for down, stage in zip(self.down, self.encoder, strict=True):
            x = stage(down(x))
            skips.append(x)
        x = skips.pop()
        outputs: list[Tensor] = []
        for up, stage in zip(reversed(self.up), reversed(self.decoder), strict=True):
            x = stage(up(x) + skips.pop())
            outputs.insert(0, x)
        outputs.insert(0, self.last(self.last_up(x) + self.skip(image)))
        return crop_logits([head(x) for head, x in zip(self.heads, outputs, strict=False)], size)


class EfficientPairedAttention(nn.Module):
    """Attention over channels, and over space to `tokens` projected tokens, with shared queries and keys.

    Args:
        grid: Tokens of each axis.
        dim: Channels.
        tokens: Number of tokens to which space is projected.
        heads: Attention heads.
        dropout: Rate on the attention weights.
        released: Scramble the spatial output as the published code does.
        shared: Project keys and values to tokens by the same layer.
    """

    def __init__(
        self,
        grid: Sequence[int],
        dim: int,
        tokens: int,
        heads: int,
        dropout: float,
        released: bool = False,
        shared: bool = True,
    ) -> None:
        super().__init__()
        self.grid, self.heads, self.released = tuple(grid), heads, released
        self.qkvv = nn.Linear(dim, 4 * dim, bias=False)
        self.to_tokens = nn.Linear(math.prod(grid), tokens)
        self.values_to_tokens = None if shared else nn.Linear(math.prod(grid), tokens)
        self.channel_temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.space_temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.dropout = nn.Dropout(dropout)
        self.space_out, self.channel_out = nn.Linear(dim, dim // 2), nn.Linear(dim, dim - dim // 2)

    def forward(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        """(B, N, dim), the tokens of a grid of N, to the same shape."""
        q, k, channel_v, space_v = (
            self.qkvv(x).unflatten(-1, (4, self.heads, -1)).permute(2, 0, 3, 4, 1)
        )  # (B, h, d, N)
        few_k = self._projected(k, self.to_tokens, grid)
        few_v = self._projected(space_v, self.values_to_tokens or self.to_tokens, grid)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        over_channels = ((q @ k.transpose(-2, -1)) * self.channel_temperature).softmax(-1)
        channel = (self.dropout(over_channels) @ channel_v).permute(0, 3, 1, 2).flatten(2)
        q = q * (math.prod(grid) / math.prod(self.grid)) ** 0.5  # a query's length is shared out over the tokens
        over_space = ((q.transpose(-2, -1) @ few_k) * self.space_temperature).softmax(-1)
        space = self.dropout(over_space) @ few_v.transpose(-2, -1)  # (B, h, N, d)
        space = space.permute(0, 3, 1, 2).reshape(x.shape) if self.released else space.transpose(1, 2).flatten(2)
        return torch.cat([self.space_out(space), self.channel_out(channel)], dim=-1)

    def _projected(self, x: Tensor, layer: nn.Linear, grid: Sequence[int]) -> Tensor:
        """(B, h, d, N) to (B, h, d, tokens)."""
        return F.linear(x, _resized(layer.weight, self.grid, grid, "mean"), layer.bias)


class _Block(nn.Module):
    """Paired attention, then residual convolutions."""

    def __init__(
        self,
        grid: Sequence[int],
        dim: int,
        tokens: int,
        heads: int,
        dropout: float,
        convs: int,
        released: bool,
        shared: bool,
    ) -> None:
        super().__init__()
        axes, self.grid = len(grid), tuple(grid)
        self.position = nn.Parameter(torch.zeros(1, math.prod(grid), dim))
        self.norm, self.scale = nn.LayerNorm(dim), nn.Parameter(1e-6 * torch.ones(dim))
        self.attention = EfficientPairedAttention(grid, dim, tokens, heads, dropout, released, shared)
        self.convs = nn.Sequential(*(UnetResBlock(axes, dim, dim, 3, 1, "batch") for _ in range(convs)))
        drop = nn.Dropout3d(0.1) if axes == 3 else nn.Dropout2d(0.1)
        self.out = nn.Sequential(drop, Conv[Conv.CONV, axes](dim, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, *spatial) to the same shape."""
        size = x.shape[2:]
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + _resized(self.position.transpose(1, 2)[0], self.grid, size, "value").T
        tokens = tokens + self.scale * self.attention(self.norm(tokens), size)
        x = tokens.transpose(1, 2).unflatten(2, size)
        return x + self.out(self.convs(x))


def _resized(rows: Tensor, grid: Sequence[int], size: Sequence[int], keeps: Literal["value", "mean"]) -> Tensor:
    """Rows over a grid (K, prod(grid)) for another one; `mean` keeps their product with an even image."""
    if tuple(grid) == tuple(size):
        return rows
    mode = "trilinear" if len(grid) == 3 else "bilinear"
    resized = F.interpolate(rows.unflatten(1, tuple(grid))[None], tuple(size), mode=mode).flatten(2)[0]
    return resized * (math.prod(grid) / math.prod(size)) if keeps == "mean" else resized
