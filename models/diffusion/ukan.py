"""Diffusion-UKAN: a U-Net whose lowest stages are Kolmogorov-Arnold layers over tokens.

Li et al. 2024 (arXiv:2406.02918); github.com/CUHK-AIM-Group/U-KAN, commit b20bf63, `Diffusion_UKAN` (no licence of its
own; read for facts). Like the original it has no attention: `attn=[2]` is overwritten there. The sizes of the KAN
stages are arguments; the original has them fixed.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medzoo.models.diffusion.kan import KANLinear

__all__ = ["DiffusionUKAN"]


class DiffusionUKAN(nn.Module):
    """Predicts the noise or the velocity of a noisy image, depending on the objective.

    Args:
        in_channels: Of the image.
        dim: Channels of the first level.
        dim_mults: Channels of each level, in units of `dim`.
        kan_channels: Channels of the two KAN stages.
        num_res_blocks: Residual blocks of each level.
        dropout: Dropout rate in the residual blocks.
        norm_num_groups: Groups of the normalisation; must divide every width.
    """

    def __init__(
        self,
        in_channels: int = 1,
        dim: int = 64,
        dim_mults: Sequence[int] = (1, 2, 3, 4),
        kan_channels: tuple[int, int] = (320, 512),
        *,
        num_res_blocks: int = 2,
        dropout: float = 0.15,
        norm_num_groups: int = 32,
    ) -> None:
        super().__init__()
        self.multiple = 2 ** (len(dim_mults) + 1)
        time = 4 * dim
        self.frequencies = dim
        self.time = nn.Sequential(nn.Linear(dim, time), nn.SiLU(), nn.Linear(time, time))
        widths = [dim * factor for factor in dim_mults]
        self.head = nn.Conv2d(in_channels, dim, 3, 1, 1)
        self.down, self.up, self.shrink, self.grow = (nn.ModuleList() for _ in range(4))
        kept, width = [dim], dim
        for stage, after in enumerate(widths):
            for _ in range(num_res_blocks):
                self.down.append(_ResBlock(width, after, time, dropout, norm_num_groups))
                width = after
                kept.append(width)
            if stage + 1 < len(widths):
                self.shrink.append(nn.Conv2d(width, width, 3, 2, 1))
                kept.append(width)
        self.middle = _KANStages(width, kan_channels, time, norm_num_groups)
        for stage, after in reversed(list(enumerate(widths))):
            for _ in range(num_res_blocks + 1):
                self.up.append(_ResBlock(width + kept.pop(), after, time, dropout, norm_num_groups))
                width = after
            if stage:
                self.grow.append(nn.Conv2d(width, width, 3, 1, 1))
        last = nn.Conv2d(width, in_channels, 3, 1, 1)
        nn.init.xavier_uniform_(last.weight, gain=1e-5)
        self.tail = nn.Sequential(nn.GroupNorm(norm_num_groups, width), nn.SiLU(), last)
        self.num_res_blocks = num_res_blocks

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Noisy images (B, C, H, W) at times (B,) to a prediction of the same shape.

        Raises:
            ValueError: If a side is no multiple of the network's stride.
        """
        if any(side % self.multiple for side in x.shape[2:]):
            raise ValueError(f"images of {tuple(x.shape[2:])} do not fit: sides must be multiples of {self.multiple}")
        time = self.time(_sinusoids(t, self.frequencies).to(x.dtype))
        x = self.head(x)
        kept = [x]
        for index, block in enumerate(self.down, start=1):
            x = block(x, time)
            kept.append(x)
            if index % self.num_res_blocks == 0 and index < len(self.down):
                x = self.shrink[index // self.num_res_blocks - 1](x)
                kept.append(x)
        x = self.middle(x, time)
        for index, block in enumerate(self.up, start=1):
            x = block(torch.cat([x, kept.pop()], dim=1), time)
            if index % (self.num_res_blocks + 1) == 0 and index < len(self.up):
                x = self.grow[index // (self.num_res_blocks + 1) - 1](
                    F.interpolate(x, scale_factor=2.0, mode="nearest")
                )
        return self.tail(x)


class _ResBlock(nn.Module):
    def __init__(self, before: int, after: int, time: int, dropout: float, groups: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(groups, before), nn.SiLU(), nn.Conv2d(before, after, 3, 1, 1))
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(time, after))
        last = nn.Conv2d(after, after, 3, 1, 1)
        self.second = nn.Sequential(nn.GroupNorm(groups, after), nn.SiLU(), nn.Dropout(dropout), last)
        self.shortcut = nn.Conv2d(before, after, 1) if before != after else nn.Identity()
        nn.init.xavier_uniform_(last.weight, gain=1e-5)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y = self.first(x) + self.time(time)[:, :, None, None]
        return self.second(y) + self.shortcut(x)


class _KANStages(nn.Module):
    """Two stages down and two up again, with KAN layers over tokens, added to what came in."""

    def __init__(self, width: int, channels: tuple[int, int], time: int, groups: int) -> None:
        super().__init__()
        first, second = channels
        self.embed1, self.kan1 = _Embed(width, first), _KANBlock(first, time)
        self.embed2, self.kan2 = _Embed(first, second), _KANBlock(second, time)
        self.up1, self.kan3 = _Up(second, first, time, groups), _KANBlock(first, time)
        self.up2 = _Up(first, width, time, groups)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        middle = self.kan1(self.embed1(x), time)
        low = self.kan2(self.embed2(middle), time)
        return x + self.up2(self.kan3(middle + self.up1(low, time), time), time)


class _Embed(nn.Module):
    """Half the size, normalised over channels."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(before, after, 3, 2, 1), nn.LayerNorm(after)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x).movedim(1, -1)).movedim(-1, 1)


class _KANBlock(nn.Module):
    """A KAN layer of each token and the time, normalised again; nothing is added to it, as in the original."""

    def __init__(self, channels: int, time: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.kan, self.time = KANLinear(channels, channels), nn.Sequential(nn.SiLU(), nn.Linear(time, channels))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        tokens = self.kan(self.before(x.movedim(1, -1))) + self.time(time)[:, None, None]
        return self.after(tokens).movedim(-1, 1)


class _Up(nn.Module):
    """Twice the size."""

    def __init__(self, before: int, after: int, time: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.GroupNorm(groups, before), nn.SiLU(), nn.Conv2d(before, after, 3, 1, 1))
        self.time = nn.Sequential(nn.SiLU(), nn.Linear(time, after))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        x = self.conv(x) + self.time(time)[:, :, None, None]
        return F.silu(F.interpolate(x, scale_factor=2.0, mode="bilinear"))


def _sinusoids(t: Tensor, channels: int) -> Tensor:
    """(B, channels) sines and cosines of times (B,), interleaved."""
    rates = torch.exp(torch.arange(0, channels, 2, device=t.device) / channels * -math.log(10_000))
    angles = t[:, None].float() * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
