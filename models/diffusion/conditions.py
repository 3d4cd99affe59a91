"""Embedding of what a diffusion is conditioned on beside images: clinical variables and the expansion flag."""

import torch
from torch import Tensor, nn

__all__ = ["ClinicalEmbedding", "FlagEmbedding"]


class ClinicalEmbedding(nn.Module):
    """Clinical variables, each of which may be unknown, and all of which may be dropped.

    An unknown value is replaced by a learned one and marked by an indicator, so that it never passes for zero. A
    dropped vector becomes a learned null embedding, the other half of classifier-free guidance.

    Args:
        num_clinical: Number of variables K.
        dim: Size of the embedding.
    """

    def __init__(self, num_clinical: int, dim: int) -> None:
        super().__init__()
        self.unknown = nn.Parameter(torch.full((num_clinical,), 0.5))  # starts in the middle of the scaled range
        self.mlp = nn.Sequential(nn.Linear(2 * num_clinical, dim), nn.GELU(), nn.Linear(dim, dim))
        self.null = nn.Parameter(0.02 * torch.randn(dim))

    def forward(self, clinical: Tensor, drop: Tensor | None = None) -> Tensor:
        """Embed a batch.

        Args:
            clinical: (B, K) values scaled to [0, 1], NaN where unknown.
            drop: (B,) bool, True where the whole vector is to be ignored; None drops none.

        Returns:
            (B, dim).
        """
        missing = clinical.isnan()
        value = torch.where(missing, self.unknown, clinical)
        embedding = self.mlp(torch.cat((value, missing.to(value.dtype)), dim=1))
        if drop is None:  # the null embedding stays in the graph: DDP wants a gradient for every parameter
            drop = torch.zeros(len(clinical), dtype=torch.bool, device=clinical.device)
        return torch.where(drop[:, None], self.null.to(embedding.dtype), embedding)


class FlagEmbedding(nn.Embedding):
    """A flag of 0 or 1, or -1 for unknown, as a learned vector of size `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__(3, dim)

    def forward(self, flag: Tensor) -> Tensor:
        """From (B,) integers -1, 0, 1 to (B, dim)."""
        return super().forward(torch.where(flag < 0, 2, flag))
