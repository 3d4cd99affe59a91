"""Late fusion: the mean prediction of the present modalities."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medzoo.models.fusion.fused import Fused, masked_softmax

__all__ = ["LateFusion"]


class LateFusion(nn.Module):
    """The mean of the outputs of the modalities' own heads.

    With one modality present it is the output of that modality's head.

    Args:
        modalities: M names.
        dim: Width of a token; not used: all fusions take the same arguments.
        num_classes: Not used either.
        weighted: Learn one weight for each modality, the same for all patients; otherwise weights are equal.
    """

    def __init__(self, *, modalities: Sequence[str], dim: int, num_classes: int, weighted: bool = True) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(len(modalities)), requires_grad=weighted)

    def forward(self, tokens: Tensor, evidence: Tensor, present: Tensor) -> Fused:
        """Fuse evidence (B, M, K + 1); `tokens` are not used."""
        present = present.to(evidence.device, non_blocking=True)
        weights = masked_softmax(self.scores.expand(present.shape), present)
        known = evidence.where(present[..., None], 0.0)
        return Fused(torch.einsum("bm,bmk->bk", weights, known), weights, {})
