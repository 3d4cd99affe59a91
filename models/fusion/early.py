"""Early fusion: a perceptron on the concatenated tokens; a learnt token replaces an absent modality."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medzoo.models.fusion.fused import Fused

__all__ = ["EarlyFusion"]


class EarlyFusion(nn.Module):
    """A perceptron on the concatenated tokens; its weights are equal shares of the present modalities.

    Args:
        modalities: M names.
        dim: Width of a token.
        num_classes: K.
        hidden: Width of the hidden layer.
        dropout: Of the hidden layer.
    """

    def __init__(
        self, *, modalities: Sequence[str], dim: int, num_classes: int, hidden: int = 128, dropout: float = 0.2
    ) -> None:
        super().__init__()
        count = len(modalities)
        self.missing = nn.Parameter(torch.zeros(count, dim))
        self.norm = nn.ModuleList([nn.LayerNorm(dim) for _ in modalities])
        self.net = nn.Sequential(
            nn.Linear(count * dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, num_classes + 1)
        )

    def forward(self, tokens: Tensor, evidence: Tensor, present: Tensor) -> Fused:
        """Fuse tokens (B, M, dim); `evidence` is not used."""
        present = present.to(tokens.device, non_blocking=True)
        normed = torch.stack([norm(tokens[:, index]) for index, norm in enumerate(self.norm)], 1)
        filled = torch.where(present[..., None], normed, self.missing)
        return Fused(self.net(filled.flatten(1)), present / present.sum(1, keepdim=True), {})
