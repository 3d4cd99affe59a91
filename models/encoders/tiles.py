"""Encoder of histology: a 2-D network on every tile of a slide, gated attention over the bag (arXiv:1802.04712)."""

from typing import Any

from torch import Tensor, nn

from medzoo.models.classification import timm_network
from medzoo.models.encoders.pooling import GatedAttention

__all__ = ["TileEncoder"]


class TileEncoder(nn.Module):
    """One token of a bag of tiles; the order of the tiles does not matter.

    In training, the share `hidden_share` of the tiles that attract most attention is left out of each bag, so that the
    others must be learnt from too (masked hard instance mining, Tang et al. 2023, arXiv:2307.15254, here without its
    momentum teacher). It is 0 unless a curriculum changes it.

    Args:
        name: A network of timm, such as `resnet18`.
        dim: Width of the token.
        in_channels: Of a tile.
        **options: Of `timm_network`, such as `pretrained` or `small_stem`.
    """

    def __init__(self, name: str, *, dim: int, in_channels: int = 3, **options: Any) -> None:
        super().__init__()
        self.net = timm_network(name, in_channels=in_channels, num_classes=dim, **options)
        self.pool = GatedAttention(dim)
        self.hidden_share = 0.0

    def forward(self, tiles: Tensor) -> Tensor:
        """Tokens (B, dim) of bags (B, T, C, h, w)."""
        return self.attend(tiles)[0]

    def attend(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, dim), and the weight of each tile (B, T)."""
        hidden = min(int(self.hidden_share * tiles.shape[1]), tiles.shape[1] - 1) if self.training else 0
        return self.pool(self.net(tiles.flatten(0, 1)).unflatten(0, tiles.shape[:2]), hidden)
