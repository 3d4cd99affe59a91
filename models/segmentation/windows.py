"""Attention inside windows of an image, in 2-D or 3-D, plain and shifted.

Liu et al. 2021 (arXiv:2103.14030), sections 3.2 and 3.3, in n dimensions. Unlike the code that nnFormer reuses,
every offset between two voxels has its own position bias, and the mask hides padding and voxels that a shift has moved
next to each other from opposite borders.
"""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["WindowAttention"]


class WindowAttention(nn.Module):
    """Multi-head attention of each voxel to those of its window.

    Args:
        dim: Channels.
        heads: Attention heads.
        window: Sides of a window; reduced to the image size if the image is smaller.
        projects_query: Whether queries go through a linear layer; nnFormer's skip attention does not project them.
    """

    def __init__(self, dim: int, heads: int, window: Sequence[int], *, projects_query: bool = True) -> None:
        super().__init__()
        self.heads, self.window = heads, tuple(window)
        self.query = nn.Linear(dim, dim) if projects_query else nn.Identity()
        self.key_value = nn.Linear(dim, 2 * dim)
        self.project = nn.Linear(dim, dim)
        self.bias = nn.Parameter(torch.zeros(heads, *(2 * side - 1 for side in self.window)))
        nn.init.trunc_normal_(self.bias, std=0.02)

    def forward(self, query: Tensor, source: Tensor, shifted: bool = False) -> Tensor:
        """Attention of `query` (B, *size, dim) to `source` of the same shape; `shifted` moves windows half a side."""
        size = query.shape[1:-1]
        window = [min(side, most) for side, most in zip(size, self.window, strict=True)]
        shift = [side // 2 if shifted and side < whole else 0 for side, whole in zip(window, size, strict=True)]
        regions = _partition(_regions(size, window, shift, query.device)[None, ..., None], window, shift)[..., 0]
        seen = regions[..., :, None] == regions[..., None, :]  # (1, windows, n, n)
        mask = self._position_bias(window).to(query.dtype)[None, None].masked_fill(~seen[:, :, None], float("-inf"))
        q, source = _partition(self.query(query), window, shift), _partition(source, window, shift)
        k, v = self.key_value(source).chunk(2, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(2, 3) for part in (q, k, v))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype))
        return self.project(_merge(attended.transpose(2, 3).flatten(3), size, window, shift))

    def _position_bias(self, window: Sequence[int]) -> Tensor:
        """(heads, n, n) bias of each pair of voxels by their offset."""
        axes = [torch.arange(side, device=self.bias.device) for side in window]
        places = torch.stack([grid.flatten() for grid in torch.meshgrid(*axes, indexing="ij")])
        offsets = places[:, :, None] - places[:, None, :]
        return self.bias[(slice(None), *(offset + most - 1 for offset, most in zip(offsets, self.window, strict=True)))]


def _padded(size: Sequence[int], window: Sequence[int]) -> list[int]:
    return [-(-side // step) * step for side, step in zip(size, window, strict=True)]


def _regions(size: Sequence[int], window: Sequence[int], shift: Sequence[int], device: torch.device) -> Tensor:
    """(*size) region numbers; voxels of one window see each other after the shift only if theirs are equal."""
    regions = torch.ones(tuple(size), dtype=torch.long, device=device)  # padding becomes 0
    for axis, (side, by) in enumerate(zip(size, shift, strict=True)):
        wrapped = (torch.arange(side, device=device) < by).long() << (axis + 1)
        regions = regions + wrapped.view([-1 if other == axis else 1 for other in range(len(size))])
    return regions


def _partition(x: Tensor, window: Sequence[int], shift: Sequence[int]) -> Tensor:
    """(B, *size, C) to (B, windows, voxels, C), padded with zeros at the end of each axis."""
    size = x.shape[1:-1]
    gaps = [(0, whole - side) for side, whole in zip(size, _padded(size, window), strict=True)]
    x = F.pad(x, (0, 0, *itertools.chain(*reversed(gaps))))
    x = x.roll([-by for by in shift], dims=list(range(1, x.ndim - 1)))
    for axis, side in reversed(list(enumerate(window, start=1))):
        x = x.unflatten(axis, (-1, side))
    axes = len(window)
    order = [0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1]
    return x.permute(order).flatten(1 + axes, 2 * axes).flatten(1, axes)


def _merge(x: Tensor, size: Sequence[int], window: Sequence[int], shift: Sequence[int]) -> Tensor:
    """The inverse of `_partition`."""
    padded, axes = _padded(size, window), len(window)
    counts = [whole // side for whole, side in zip(padded, window, strict=True)]
    x = x.unflatten(1, counts).unflatten(1 + axes, list(window))
    order = [0, *itertools.chain(*((1 + axis, 1 + axes + axis) for axis in range(axes))), 2 * axes + 1]
    x = x.permute(order).reshape(len(x), *padded, x.shape[-1])
    x = x.roll(list(shift), dims=list(range(1, 1 + axes)))
    return x[(slice(None), *(slice(side) for side in size))]
