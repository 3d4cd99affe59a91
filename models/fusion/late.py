"""Late fusion: every modality says what it thinks, and the mean over those present counts."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medzoo.models.fusion.fused import Fused, masked_softmax

__all__ = ["LateFusion"]


class LateFusion(nn.Module):
    """The mean of the outputs of the modalities' own heads.

    With one modality present that is what its head says.

    Args:
        modalities: M names.
        dim: Width of a token; not used, as all fusions take the same arguments.
        num_classes: Likewise.
        weighted: Learn how much each modality counts, the same for all patients; else all that are present count alike.
    """

    def __init__(self, *, modalities: Sequence[str], dim: int, num_classes: int, weighted: bool = True) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(len(modalities)), requires_grad=weighted)

    def forward(self, tokens: Tensor, evidence: Tensor, present: Tensor) -> Fused:
        """Fuse evidence (B, M, K + 1); `tokens` play no part but through it."""
        weights = masked_softmax(self.scores.expand(present.shape), present)
        known = evidence.where(present[..., None], 0.0)
        return Fused(torch.einsum("bm,bmk->bk", weights, known), weights, {})
