"""The U-Net of HemExp: predicts the velocity of a noisy latent from images, clinical variables and a flag.

HemExp (arXiv:2606.15304; github.com/orhunutkuaydin/HemExp, MIT), whose network is that of lucidrains'
denoising-diffusion-pytorch (MIT). Differences: unknown clinical values and an unknown flag are learned, attention has
no memory tokens by default (the original has 4), and the last convolution starts at zero, so that the untrained network
predicts v = 0. `upstream.py` renames the original's weights.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from medzoo.models.diffusion.blocks import FullAttention, LinearAttention, ResidualBlock, sinusoidal_embedding
from medzoo.models.diffusion.conditions import ClinicalEmbedding, FlagEmbedding

__all__ = ["ConditionalUNet"]


class ConditionalUNet(nn.Module):
    """U-Net on (B, C, H, W) latents.

    Args:
        in_channels: Channels of the noisy latent.
        out_channels: Channels of the prediction.
        context_channels: Channels of the images it is conditioned on, concatenated to the noisy latent.
        dim: Width of the first level.
        dim_mults: Width of each level in multiples of `dim`; the resolution halves between levels.
        num_res_blocks: Residual blocks of each level, on the way down and on the way up.
        heads: Attention heads.
        dim_head: Channels of each head.
        num_clinical: Number of clinical variables.
        memory_tokens: Learned keys and values in each attention beside those of the pixels; 4 in the original.
        full_attention: For each level, full attention rather than linear; None: only the deepest.
        dropout: In the residual blocks, in [0, 1).

    Raises:
        ValueError: If `full_attention` and `dim_mults` differ in length, or `dim` is odd.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        context_channels: int,
        *,
        dim: int = 96,
        dim_mults: Sequence[int] = (1, 2, 4, 8),
        num_res_blocks: int = 2,
        heads: int = 4,
        dim_head: int = 32,
        num_clinical: int = 7,
        memory_tokens: int = 0,
        full_attention: Sequence[bool] | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        levels = len(dim_mults)
        full = (False,) * (levels - 1) + (True,) if full_attention is None else tuple(full_attention)
        if len(full) != levels:
            raise ValueError(f"full_attention has {len(full)} entries: expected {levels}, one for each of dim_mults")
        if dim % 2:
            raise ValueError(f"dim={dim} is odd: expected an even number, half sines and half cosines of the time")
        self.dim, self.factor = dim, 2 ** (levels - 1)
        embedding = 4 * dim
        self.time_mlp = nn.Sequential(nn.Linear(dim, embedding), nn.GELU(), nn.Linear(embedding, embedding))
        self.clinical_embedding = ClinicalEmbedding(num_clinical, embedding)
        self.flag_embedding = FlagEmbedding(embedding)

        widths = [dim, *(dim * mult for mult in dim_mults)]
        self.stem = nn.Conv2d(in_channels + context_channels, dim, 7, padding=3)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, (narrow, wide) in enumerate(pairwise(widths)):
            attention = FullAttention if full[level] else LinearAttention
            self.downs.append(
                _Down(
                    [ResidualBlock(narrow, narrow, embedding, dropout) for _ in range(num_res_blocks)],
                    attention(narrow, heads, dim_head, memory_tokens),
                    nn.Conv2d(narrow, wide, 2, stride=2)
                    if level < levels - 1
                    else nn.Conv2d(narrow, wide, 3, padding=1),
                )
            )
            enlarge = nn.Upsample(scale_factor=2, mode="nearest") if level > 0 else nn.Identity()
            up = _Up(
                [ResidualBlock(wide + narrow, wide, embedding, dropout) for _ in range(num_res_blocks)],
                attention(wide, heads, dim_head, memory_tokens),
                nn.Sequential(enlarge, nn.Conv2d(wide, narrow, 3, padding=1)),
            )
            self.ups.insert(0, up)
        deepest = widths[-1]
        self.middle_in = ResidualBlock(deepest, deepest, embedding, dropout)
        self.middle_attention = FullAttention(deepest, heads, dim_head, memory_tokens)
        self.middle_out = ResidualBlock(deepest, deepest, embedding, dropout)
        self.last = ResidualBlock(2 * dim, dim, embedding, dropout)
        self.head = nn.Conv2d(dim, out_channels, 1)
        for weight in self.head.parameters():
            nn.init.zeros_(weight)

    @property
    def recomputed_blocks(self) -> list[nn.Module]:
        """Residual blocks and attentions; a level on the way up changes the list of features that it is given."""
        return [part for part in self.modules() if isinstance(part, (ResidualBlock, FullAttention, LinearAttention))]

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        context: Tensor,
        clinical: Tensor,
        flag: Tensor,
        drop_clinical: Tensor | None = None,
    ) -> Tensor:
        """Predict the velocity.

        Args:
            x: (B, in_channels, H, W) noisy latents.
            t: (B,) times.
            context: (B, context_channels, H, W) images of the condition.
            clinical: (B, num_clinical) variables scaled to [0, 1], NaN where unknown.
            flag: (B,) integers: 0 stable, 1 expansion, -1 unknown.
            drop_clinical: (B,) bool, True where the clinical variables are to be ignored; None ignores none.

        Returns:
            (B, out_channels, H, W).

        Raises:
            ValueError: If H or W cannot be halved once for each level but the last.
        """
        if x.shape[-2] % self.factor or x.shape[-1] % self.factor:
            raise ValueError(f"size {tuple(x.shape[-2:])} does not fit: H and W must be multiples of {self.factor}")
        time = self.time_mlp(sinusoidal_embedding(t, self.dim))
        embedding = time + self.clinical_embedding(clinical, drop_clinical) + self.flag_embedding(flag)
        stem = self.stem(torch.cat((x, context), dim=1))
        x, skips = stem, []
        for down in self.downs:
            x, kept = down(x, embedding)
            skips += kept
        x = self.middle_out(self.middle_attention(self.middle_in(x, embedding)), embedding)
        for up in self.ups:
            x = up(x, embedding, skips)
        return self.head(self.last(torch.cat((x, stem), dim=1), embedding))


class _Down(nn.Module):
    """A level on the way down: keeps the features of each block for the way up, then halves the resolution."""

    def __init__(self, blocks: list[ResidualBlock], attention: nn.Module, resample: nn.Module) -> None:
        super().__init__()
        self.blocks, self.attention, self.resample = nn.ModuleList(blocks), attention, resample

    def forward(self, x: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        kept = []
        for block in self.blocks:
            x = block(x, embedding)
            kept.append(x)
        kept[-1] = self.attention(x)
        return self.resample(kept[-1]), kept


class _Up(nn.Module):
    """A level on the way up: each block takes the features kept last, then the resolution doubles."""

    def __init__(self, blocks: list[ResidualBlock], attention: nn.Module, resample: nn.Module) -> None:
        super().__init__()
        self.blocks, self.attention, self.resample = nn.ModuleList(blocks), attention, resample

    def forward(self, x: Tensor, embedding: Tensor, skips: list[Tensor]) -> Tensor:
        for block in self.blocks:
            x = block(torch.cat((x, skips.pop()), dim=1), embedding)
        return self.resample(self.attention(x))
