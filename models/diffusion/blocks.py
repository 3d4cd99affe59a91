"""Blocks of the diffusion U-Net: residual blocks with scale and shift, linear and full attention."""

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

__all__ = ["FullAttention", "LinearAttention", "RMSNorm", "ResidualBlock", "sinusoidal_embedding"]


class RMSNorm(nn.Module):
    """Divides every pixel's channel vector by its root mean square, then scales each channel.

    Zhang and Sennrich 2019 (arXiv:1910.07467), over the channels of (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W), in its own type; the mean square is taken in float32."""
        scale = torch.rsqrt(x.float().square().mean(dim=1, keepdim=True) + 1e-6)
        return x * scale.to(x.dtype) * self.weight.to(x.dtype)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; the embedding scales and shifts the features between them.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        embedding_dim: Size of the embedding of time and conditions.
        dropout: After the first convolution, in [0, 1).
    """

    def __init__(self, in_channels: int, out_channels: int, embedding_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.modulation = nn.Linear(embedding_dim, 2 * out_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm1 = RMSNorm(out_channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.norm2 = RMSNorm(out_channels)
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """From (B, in_channels, H, W) and (B, embedding_dim) to (B, out_channels, H, W)."""
        scale, shift = self.modulation(F.silu(embedding))[:, :, None, None].chunk(2, dim=1)
        hidden = self.norm1(self.conv1(x)) * (scale + 1) + shift
        hidden = self.norm2(self.conv2(self.dropout(F.silu(hidden))))
        return F.silu(hidden) + self.shortcut(x)


class LinearAttention(nn.Module):
    """Attention at a cost linear in the number of pixels (Shen et al. 2021, arXiv:1812.01243), with its shortcut.

    Keys are a distribution over pixels and gather one context a head, which each pixel's query reads.

    Args:
        channels: C.
        heads: Attention heads.
        dim_head: Channels of each head.
        memory_tokens: Learned keys and values beside those of the pixels.
    """

    def __init__(self, channels: int, heads: int = 4, dim_head: int = 32, memory_tokens: int = 0) -> None:
        super().__init__()
        self.heads, self.dim_head = heads, dim_head
        self.norm = RMSNorm(channels)
        self.to_qkv = nn.Conv2d(channels, 3 * heads * dim_head, 1, bias=False)
        self.to_out = nn.Sequential(nn.Conv2d(heads * dim_head, channels, 1), RMSNorm(channels))
        self.memory = nn.Parameter(torch.randn(2, heads, dim_head, memory_tokens)) if memory_tokens else None

    def forward(self, x: Tensor) -> Tensor:
        """Attend over (B, C, H, W)."""
        query, key, value = rearrange(self.to_qkv(self.norm(x)), "b (n h d) y x -> n b h d (y x)", n=3, h=self.heads)
        if self.memory is not None:
            key, value = _joined(self.memory, key, value, dim=-1)
        query = query.softmax(dim=-2) * self.dim_head**-0.5
        context = key.softmax(dim=-1) @ value.transpose(-1, -2)
        read = rearrange(context.transpose(-1, -2) @ query, "b h d (y x) -> b (h d) y x", y=x.shape[2])
        return self.to_out(read) + x


class FullAttention(nn.Module):
    """Attention of every pixel to every pixel, with its shortcut; arguments as of `LinearAttention`."""

    def __init__(self, channels: int, heads: int = 4, dim_head: int = 32, memory_tokens: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.norm = RMSNorm(channels)
        self.to_qkv = nn.Conv2d(channels, 3 * heads * dim_head, 1, bias=False)
        self.to_out = nn.Conv2d(heads * dim_head, channels, 1)
        self.memory = nn.Parameter(torch.randn(2, heads, memory_tokens, dim_head)) if memory_tokens else None

    def forward(self, x: Tensor) -> Tensor:
        """Attend over (B, C, H, W)."""
        query, key, value = rearrange(self.to_qkv(self.norm(x)), "b (n h d) y x -> n b h (y x) d", n=3, h=self.heads)
        if self.memory is not None:
            key, value = _joined(self.memory, key, value, dim=-2)
        read = F.scaled_dot_product_attention(query, key, value)
        return self.to_out(rearrange(read, "b h (y x) d -> b (h d) y x", y=x.shape[2])) + x


def _joined(memory: Tensor, key: Tensor, value: Tensor, dim: int) -> list[Tensor]:
    """Learned keys and values (2, heads, ...) before those of the pixels (B, heads, ...), along the tokens."""
    pairs = zip(memory.to(key.dtype), (key, value), strict=True)
    return [torch.cat((learned.expand(len(key), -1, -1, -1), pixels), dim=dim) for learned, pixels in pairs]


def sinusoidal_embedding(t: Tensor, dim: int) -> Tensor:
    """Sines and cosines of times (B,) at `dim` / 2 frequencies from 1 to 1/10000 (Vaswani et al. 2017): (B, dim)."""
    frequencies = torch.exp(torch.linspace(0, -math.log(10_000), dim // 2, device=t.device))
    phase = t.float()[:, None] * frequencies
    return torch.cat((phase.sin(), phase.cos()), dim=1)
