"""The dynamic fusion transformer: modalities ask each other, and each patient has weights of its own.

A reference design, not a reproduction: tokens with modality embeddings and a patient token as in multimodal
transformers, cross-attention between modalities in the manner of MulT (Tsai et al. 2019, arXiv:1906.00295).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from models.fusion.fused import Fused, masked_softmax

__all__ = ["CrossFusion"]


class CrossFusion(nn.Module):
    """Cross-attention between the modalities that are present.

    A token of the patient asks all modalities; each modality asks the patient's token and the other modalities, not
    itself. At the end a score for each modality, by its token and the patient's, becomes its weight. The output is a
    head on the patient's token and the weighted mean of tokens, added to the weighted sum of the modalities' evidence.

    Args:
        modalities: M names.
        dim: Width of a token.
        num_classes: K.
        layers: Rounds of questions.
        heads: Of the attention; divides `dim`.
        dropout: In attention and perceptrons.
        missing: What an absent modality is: `mask`, nothing at all; `token`, a learnt token that may be asked; `both`,
            nothing that could be asked, but the patient's token starts with the learnt tokens of what is missing.

    Raises:
        ValueError: If `heads` does not divide `dim`.
    """

    def __init__(
        self,
        *,
        modalities: Sequence[str],
        dim: int,
        num_classes: int,
        layers: int = 2,
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
        self.names = nn.Parameter(0.02 * torch.randn(count, dim))
        self.patient = nn.Parameter(0.02 * torch.randn(dim))
        self.absent = nn.Parameter(0.02 * torch.randn(count, dim), requires_grad=missing != "mask")
        self.layers = nn.ModuleList([_Questions(dim, heads, dropout) for _ in range(layers)])
        self.score = nn.Sequential(nn.Linear(2 * dim, dim), nn.Tanh(), nn.Linear(dim, 1))
        self.head = nn.Sequential(nn.LayerNorm(2 * dim), nn.Dropout(dropout), nn.Linear(2 * dim, num_classes + 1))
        for last in (self.score[-1], self.head[-1]):  # training starts from the sum of the evidence
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, tokens: Tensor, evidence: Tensor, present: Tensor) -> Fused:
        """Fuse tokens (B, M, dim) and evidence (B, M, K + 1)."""
        batch, count = present.shape
        own = torch.stack([net(tokens[:, index]) for index, net in enumerate(self.project)], 1)
        filled = torch.where(present[..., None], own + self.names, self.absent)
        patient = self.patient.expand(batch, 1, -1)
        if self.missing == "both":
            patient = patient + torch.where(present[..., None], 0.0, self.absent).sum(1, keepdim=True)
        sequence, blocked = torch.cat([patient, filled], 1), self._blocked(present)
        for layer in self.layers:
            sequence = layer(sequence, blocked)
        patient, modalities = sequence[:, 0], sequence[:, 1:]
        pairs = torch.cat([modalities, patient[:, None].expand(-1, count, -1)], -1)
        weights = masked_softmax(self.score(pairs).squeeze(-1), present)
        pooled = torch.einsum("bm,bmd->bd", weights, modalities.where(present[..., None], 0.0))
        said = evidence.where(present[..., None], 0.0)
        summed = present.sum(1, keepdim=True) * torch.einsum("bm,bmk->bk", weights, said)
        return Fused(summed + self.head(torch.cat([patient, pooled], -1)), weights, {})

    def _blocked(self, present: Tensor) -> Tensor:
        """(B * heads, 1 + M, 1 + M) bool: whom (column) a token (row) may not ask."""
        batch, count = present.shape
        hidden = torch.zeros_like(present) if self.missing == "token" else ~present
        columns = torch.cat([hidden.new_zeros(batch, 1), hidden], 1)[:, None].expand(-1, count + 1, -1)
        own = torch.eye(count + 1, dtype=torch.bool, device=present.device)
        return (columns | own.expand(batch, -1, -1)).repeat_interleave(self.heads, 0)


class _Questions(nn.Module):
    """A round of cross-attention and a perceptron, each after a normalisation and added to what was there."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.perceptron = nn.Sequential(
            nn.Linear(dim, 2 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * dim, dim), nn.Dropout(dropout)
        )

    def forward(self, sequence: Tensor, blocked: Tensor) -> Tensor:
        """(B, L, dim) from the same."""
        asked = self.before(sequence)
        answer, _ = self.attention(asked, asked, asked, attn_mask=blocked, need_weights=False)
        sequence = sequence + answer
        return sequence + self.perceptron(self.between(sequence))
