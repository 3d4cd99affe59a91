"""nnFormer: a U-shaped transformer with attention in local windows.

Zhou et al. 2021 (arXiv:2109.03201, TIP 2023); github.com/282857341/nnFormer, commit d48aaeb (MIT; read for facts).
Differences: position biases and shift masks are corrected (`windows.py`), images of any size fit, and there are no
ImageNet weights.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.layers.factories import Conv
from timm.layers import DropPath, Mlp
from torch import Tensor, nn

from medzoo.models.segmentation.padding import crop, crop_logits, pad_to_multiple
from medzoo.models.segmentation.windows import WindowAttention

__all__ = ["NNFormer"]


class NNFormer(nn.Module):
    """Logits of an image at the resolutions of the decoder.

    Args:
        spatial_dims: 2 or 3.
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        dim: Channels of the first stage; doubled at each of the following.
        patch_size: Size of the patch that becomes a token, each side 1, 2 or 4.
        heads: Attention heads of each stage.
        windows: Sides of the windows of each stage.
        strides: Of each downsampling, one entry for each axis. None for those published with this `patch_size`:
            2, but first 1 on an axis where it is 1 (slices: 1, 2, 2 in the ACDC form).
        depth: Blocks of each stage; plain and shifted windows alternate.
        drop_path: Drop-path rate of the last block; rates grow linearly.
        deep_supervision: Return the logits of all decoder stages, not only of the last (as the ACDC form does).
    """

    drop_last = False  # in its loss the lowest head has a weight too, half of the one above it

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        dim: int = 96,
        patch_size: Sequence[int] = (1, 4, 4),
        heads: Sequence[int] = (3, 6, 12, 24),
        windows: Sequence[Sequence[int]] = ((3, 5, 5), (3, 5, 5), (7, 10, 10), (3, 5, 5)),
        strides: Sequence[Sequence[int]] | None = None,
        depth: int = 2,
        drop_path: float = 0.2,
        deep_supervision: bool = True,
    ) -> None:
        super().__init__()
        stages, conv, up = len(heads), Conv[Conv.CONV, spatial_dims], Conv[Conv.CONVTRANS, spatial_dims]
        self.patch_size, self.deep_supervision = tuple(patch_size), deep_supervision
        dims = [dim * 2**stage for stage in range(stages)]
        steps = _published_strides(patch_size, stages) if strides is None else [tuple(step) for step in strides]
        if len(steps) != stages - 1:
            raise ValueError(f"strides has {len(steps)} entries: expected {stages - 1}, one between each two of heads")
        keeps = [side == 1 for side in patch_size]
        rates = torch.linspace(0, drop_path, stages * depth).view(stages, depth).tolist()
        self.embed = _embedding(conv, in_channels, dim, self.patch_size)
        self.encoder = nn.ModuleList(
            _Stage(width, count, window, rate, skip=False)
            for width, count, window, rate in zip(dims, heads, windows, rates, strict=True)
        )
        self.norms = nn.ModuleList(_Norm(width) for width in dims)
        self.down = nn.ModuleList(_Down(conv, width, step, keeps) for width, step in zip(dims[:-1], steps, strict=True))
        self.up = nn.ModuleList(_Up(up, width, step) for width, step in zip(dims[:-1], steps, strict=True))
        self.decoder = nn.ModuleList(
            _Stage(width, count, window, rate, skip=True)
            for width, count, window, rate in zip(dims[:-1], heads, windows, rates, strict=False)
        )
        self.heads = nn.ModuleList(
            up(width, out_channels, self.patch_size, self.patch_size)
            for width in (dims[:-1] if deep_supervision else dims[:1])
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, in_channels, *spatial) to logits, full resolution first: [(B, out_channels, *spatial), ...]."""
        size = x.shape[2:]
        x = self.embed(pad_to_multiple(x, self.patch_size))
        skips = []
        for stage, norm, down in zip(self.encoder, self.norms, [*self.down, None], strict=True):
            x = stage(x)
            skips.append(norm(x))
            x = x if down is None else down(x)
        x = skips.pop()
        outputs: list[Tensor] = []
        for up, stage in zip(reversed(self.up), reversed(self.decoder), strict=True):
            skip = skips.pop()
            x = stage(up(x, skip.shape[2:]), skip)
            outputs.insert(0, x)
        return crop_logits([head(x) for head, x in zip(self.heads, outputs, strict=False)], size)


class _Stage(nn.Module):
    """Blocks over (B, C, *spatial); in the first block of a decoder stage, upsampled features attend to the skip."""

    def __init__(self, dim: int, heads: int, window: Sequence[int], drop_path: Sequence[float], *, skip: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _Block(dim, heads, window, rate, projects_query=not (skip and index == 0))
            for index, rate in enumerate(drop_path)
        )

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        x = x.movedim(1, -1)
        for index, block in enumerate(self.blocks):
            if index == 0 and skip is not None:
                skip = skip.movedim(1, -1)
                x = block(x + skip, x, skip, shifted=False)
            else:
                x = block(x, x, x, shifted=index % 2 == 1)
        return x.movedim(-1, 1)


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int, window: Sequence[int], drop_path: float, *, projects_query: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = WindowAttention(dim, heads, window, projects_query=projects_query)
        self.mlp = Mlp(dim, 4 * dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, query: Tensor, source: Tensor, *, shifted: bool) -> Tensor:
        """(B, *size, C) to the same shape."""
        x = x + self.drop_path(self.attention(self.norm1(query), self.norm1(source), shifted))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class _Norm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, *spatial)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class _Down(nn.Sequential):
    """Twice the channels at a lower resolution.

    An odd number of slices that the patch kept is rounded down (7 to 3 in the ACDC form), other odd sides up.
    """

    def __init__(self, conv: type[nn.Module], width: int, stride: Sequence[int], keeps: Sequence[bool]) -> None:
        kernel = tuple(1 if step == 1 else 3 for step in stride)
        super().__init__(nn.GELU(), _Norm(width), conv(width, 2 * width, kernel, tuple(stride)))
        self.kernel, self.keeps = kernel, tuple(keeps)

    def forward(self, x: Tensor) -> Tensor:
        rounds = [whole and side % 2 == 1 and side > 1 for side, whole in zip(x.shape[2:], self.keeps, strict=True)]
        pads = [0 if size == 1 or down else 1 for size, down in zip(self.kernel, rounds, strict=True)]
        return super().forward(x) if not any(pads) else self[2](F.pad(self[1](self[0](x)), _both_ends(pads)))


class _Up(nn.Sequential):
    """Half the channels at the resolution of the skip."""

    def __init__(self, up: type[nn.Module], width: int, stride: Sequence[int]) -> None:
        super().__init__(_Norm(2 * width), up(2 * width, width, tuple(stride), tuple(stride)))
        self.stride = tuple(stride)

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:  # type: ignore[override]
        least = [side * step for side, step in zip(x.shape[2:], self.stride, strict=True)]
        gives = [min(max(side, low), low + step - 1) for side, low, step in zip(size, least, self.stride, strict=True)]
        return crop(self[1](self[0](x), output_size=gives), size)


def _published_strides(patch: Sequence[int], stages: int) -> list[tuple[int, ...]]:
    """Strides of 1 first along axes with a patch side of 1, whose spacing is still the larger one."""
    twos = (2,) * len(patch)
    first = tuple(min(side, 2) for side in patch) if max(patch) > 1 else twos
    return [first, *[twos] * (stages - 2)][: stages - 1]


def _both_ends(pads: Sequence[int]) -> list[int]:
    """Paddings in the order of `F.pad`, last axis first."""
    return [pad for side in reversed(pads) for pad in (side, side)]


def _embedding(conv: type[nn.Module], in_channels: int, dim: int, patch: Sequence[int]) -> nn.Sequential:
    """Two groups of two convolutions whose strides multiply to the patch."""
    first = tuple(min(side, 2) for side in patch)
    second = tuple(side // by for side, by in zip(patch, first, strict=True))
    half = dim // 2
    return nn.Sequential(
        *(conv(in_channels, half, 3, first, 1), nn.GELU(), _Norm(half)),
        *(conv(half, half, 3, 1, 1), nn.GELU(), _Norm(half)),
        *(conv(half, dim, 3, second, 1), nn.GELU(), _Norm(dim)),
        *(conv(dim, dim, 3, 1, 1), _Norm(dim)),
    )
