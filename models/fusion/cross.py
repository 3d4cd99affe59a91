"""The dynamic fusion transformer: modalities attend to each other, with weights for each patient.

A reference design, not a reproduction: a projection for each modality and a token of the patient as in multimodal
transformers, cross-attention between modalities in the manner of MulT (Tsai et al. 2019, arXiv:1906.00295).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from medzoo.models.fusion.fused import Fused, masked_softmax

__all__ = ["CrossFusion"]

_SHARPNESS = 3.0  # of the scores, which start at 0 and would otherwise separate slowly


class CrossFusion(nn.Module):
    """Cross-attention between the modalities that are present.

    The patient token starts as the sum of the projected tokens. It attends to all modalities; each modality attends to
    the patient token and to the other modalities, not to itself. Finally the patient token scores the modalities, and a
    softmax turns the scores into weights. The output is the weighted sum of the modalities' evidence plus a head on the
    patient token and the weighted mean of tokens, for interactions between modalities. Layers start as identities and
    the head at 0, so training starts from the plain sum of the evidence.

    Args:
        modalities: M names.
        dim: Width of a token.
        num_classes: K.
        layers: Attention layers.
        heads: Attention heads; must divide `dim`.
        dropout: Dropout rate in attention and perceptrons.
        missing: How an absent modality is represented: `mask`, not at all; `token`, by a learnt token that others
            attend to; `both`, masked in attention, but with the learnt token in the initial patient token.

    Raises:
        ValueError: If `heads` does not divide `dim`.
    """

    def __init__(
        self,
        *,
        modalities: Sequence[str],
        dim: int,
        num_classes: int,
        layers: int = 1,
        heads: int = 4,
        dropout: float = 0.2,
        missing: Literal["token", "mask", "both"] = "both",
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads={heads} does not divide dim={dim}")
        count = len(modalities)
        self.heads, self.missing = heads, missing
        self.project = nn.ModuleList([nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim)) for _ in modalities])
        self.absent = nn.Parameter(0.02 * torch.randn(count, dim), requires_grad=missing != "mask")
        self.layers = nn.ModuleList([_Questions(dim, heads, dropout) for _ in range(layers)])
        self.score = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(dim, count))
        self.head = nn.Sequential(nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, num_classes + 1))
        _start_at_zero(self.score[-1], self.head[-1])

    def forward(self, tokens: Tensor, evidence: Tensor, present: Tensor) -> Fused:
        """Fuse tokens (B, M, dim) and evidence (B, M, K + 1)."""
        present = present.to(tokens.device, non_blocking=True)
        known = present[..., None]
        own = torch.stack([net(tokens[:, index]) for index, net in enumerate(self.project)], 1)
        filled = torch.where(known, own, self.absent)
        summed = filled if self.missing != "mask" else filled.where(known, 0.0)
        sequence, blocked = torch.cat([summed.sum(1, keepdim=True), filled], 1), self._blocked(present)
        for layer in self.layers:
            sequence = layer(sequence, blocked)
        patient, modalities = sequence[:, 0], sequence[:, 1:]
        weights = masked_softmax(_SHARPNESS * self.score(patient), present)
        pooled = torch.einsum("bm,bmd->bd", weights, modalities.where(known, 0.0))
        mean = torch.einsum("bm,bmk->bk", weights, evidence.where(known, 0.0))
        added = (
            present.sum(1, keepdim=True) * mean
        )  # evidence adds up: more modalities make a patient's prediction surer
        return Fused(added + self.head(torch.cat([patient, pooled], -1)), weights, {})

    def _blocked(self, present: Tensor) -> Tensor:
        """(B * heads, 1 + M, 1 + M) bool: the tokens (column) to which a token (row) must not attend."""
        batch, count = present.shape
        hidden = torch.zeros_like(present) if self.missing == "token" else ~present
        columns = torch.cat([hidden.new_zeros(batch, 1), hidden], 1)[:, None].expand(-1, count + 1, -1)
        own = torch.eye(count + 1, dtype=torch.bool, device=present.device)
        return (columns | own.expand(batch, -1, -1)).repeat_interleave(self.heads, 0)


class _Questions(nn.Module):
    """Cross-attention and a perceptron, each with pre-normalisation and a residual connection."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.perceptron = nn.Sequential(
            nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim), nn.Dropout(dropout)
        )
        _start_at_zero(self.attention.out_proj, self.perceptron[-2])

    def forward(self, sequence: Tensor, blocked: Tensor) -> Tensor:
        """(B, L, dim) from the same."""
        asked = self.before(sequence)
        answer, _ = self.attention(asked, asked, asked, attn_mask=blocked, need_weights=False)
        sequence = sequence + answer
        return sequence + self.perceptron(self.between(sequence))


def _start_at_zero(*layers: nn.Module) -> None:
    for weight in (weight for layer in layers for weight in layer.parameters()):
        nn.init.zeros_(weight)
