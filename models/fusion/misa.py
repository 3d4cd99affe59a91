"""MISA: a shared and a private part of every modality (Hazarika et al. 2020, arXiv:2005.03545).

Written from the paper and the facts of its reference code (declare-lab/MISA, MIT). The original has no missing
modalities; here the transformer masks absent ones, a learnt token replaces them before the head, and each loss is
taken over the patients who have the modalities that it compares.
"""

from collections.abc import Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medzoo.models.fusion.fused import Fused, rows_of
from medzoo.models.losses.subspaces import central_moment_discrepancy, subspace_difference

__all__ = ["MISAFusion"]


class MISAFusion(nn.Module):
    """Shared and private parts of each token, fused by one transformer layer.

    Its weights are equal shares of the present modalities.

    Args:
        modalities: M names.
        dim: Width of a token.
        num_classes: K.
        hidden: Width of a part.
        heads: Of the transformer layer.
        feedforward: Width of the transformer layer's feed-forward part.
        dropout: Of the transformer and the head; the original has 0.1 and 0.5.
        similarity: Weight of the discrepancy between shared parts, averaged over pairs.
        difference: Weight of the overlap of private parts with shared ones and with each other, summed over pairs.
        reconstruction: Weight of the squared error of a modality's reconstruction from both parts, averaged.
    """

    def __init__(
        self,
        *,
        modalities: Sequence[str],
        dim: int,
        num_classes: int,
        hidden: int = 128,
        heads: int = 2,
        feedforward: int = 2048,
        dropout: float = 0.5,
        similarity: float = 1.0,
        difference: float = 0.3,
        reconstruction: float = 1.0,
    ) -> None:
        super().__init__()
        count = len(modalities)
        self.losses = {"similarity": similarity, "difference": difference, "reconstruction": reconstruction}
        self.project = nn.ModuleList(
            [nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.LayerNorm(hidden)) for _ in modalities]
        )
        self.private = nn.ModuleList([nn.Linear(hidden, hidden) for _ in modalities])
        self.shared = nn.Linear(hidden, hidden)
        self.rebuild = nn.ModuleList([nn.Linear(hidden, hidden) for _ in modalities])
        self.transformer = nn.TransformerEncoderLayer(hidden, heads, feedforward, batch_first=True)
        self.missing = nn.Parameter(torch.zeros(2 * count, hidden))
        self.head = nn.Sequential(
            nn.Linear(2 * count * hidden, 3 * hidden),
            nn.Dropout(dropout),
            nn.ReLU(),
            nn.Linear(3 * hidden, num_classes + 1),
        )

    def forward(self, tokens: Tensor, evidence: Tensor, present: Tensor) -> Fused:
        """Fuse tokens (B, M, dim); `evidence` is not used."""
        projected = [net(tokens[:, index]) for index, net in enumerate(self.project)]
        private = [net(each).sigmoid() for net, each in zip(self.private, projected, strict=True)]
        shared = [self.shared(each).sigmoid() for each in projected]
        rebuilt = [net(a + b) for net, a, b in zip(self.rebuild, private, shared, strict=True)]
        there = present.to(tokens.device, non_blocking=True)
        known = torch.cat([there, there], 1)
        parts = self.transformer(torch.stack([*private, *shared], 1), src_key_padding_mask=~known)
        output = self.head(torch.where(known[..., None], parts, self.missing).flatten(1))
        terms = self._terms(projected, private, shared, rebuilt, present)
        return Fused(output, there / there.sum(1, keepdim=True), terms)

    def _terms(
        self,
        projected: list[Tensor],
        private: list[Tensor],
        shared: list[Tensor],
        rebuilt: list[Tensor],
        present: Tensor,
    ) -> dict[str, Tensor]:
        """The three weighted losses; 0 if a batch has no patients to compare."""
        nothing = torch.stack(projected).sum() * 0
        similar, different, errors = [], [nothing], []
        for m, mask in enumerate(present.T):
            own = rows_of(mask, nothing)
            if len(own) > 1:
                different.append(subspace_difference(private[m][own], shared[m][own]))
                errors.append(F.mse_loss(rebuilt[m][own], projected[m][own]))
        for m, n in combinations(range(present.shape[1]), 2):
            both = rows_of(present[:, m] & present[:, n], nothing)
            if len(both) > 1:
                similar.append(central_moment_discrepancy(shared[m][both], shared[n][both]))
                different.append(subspace_difference(private[m][both], private[n][both]))
        found = {
            "similarity": torch.stack(similar).mean() if similar else nothing,
            "difference": torch.stack(different).sum(),
            "reconstruction": torch.stack(errors).mean() if errors else nothing,
        }
        return {name: self.losses[name] * term for name, term in found.items()}
