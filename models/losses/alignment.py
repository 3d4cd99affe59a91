"""Alignment of the modalities of a patient in the manner of CLIP (Radford et al. 2021, arXiv:2103.00020)."""

import math
from collections.abc import Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ContrastiveAlignment", "contrastive_loss"]

HOTTEST = 100.0
"""The largest scale of the similarities, as in the paper."""


def contrastive_loss(first: Tensor, second: Tensor, scale: float | Tensor) -> Tensor:
    """Cross entropy of finding a patient's partner among all, from either side.

    Args:
        first: (N, D).
        second: (N, D), row by row of the same patients.
        scale: Of the cosine similarities; clipped at 100.

    Returns:
        A scalar; 0 with fewer than two patients.
    """
    if len(first) < 2:
        return (first.sum() + second.sum()) * 0
    scale = torch.as_tensor(scale, dtype=first.dtype, device=first.device).clamp(max=HOTTEST)
    logits = scale * F.normalize(first, dim=1) @ F.normalize(second, dim=1).T
    own = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


class ContrastiveAlignment(nn.Module):
    """The mean loss over the pairs of modalities that at least two patients of a batch have.

    Args:
        modalities: M names.
        dim: Width of a token.
        width: Width of the projections that are compared.
        temperature: Initial value; it is learnt.
    """

    def __init__(self, *, modalities: Sequence[str], dim: int, width: int = 32, temperature: float = 0.07) -> None:
        super().__init__()
        self.project = nn.ModuleList([nn.Linear(dim, width) for _ in modalities])
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / temperature)))

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Loss of tokens (B, M, dim); tokens of absent modalities are ignored. `present` may lie on the CPU."""
        projected = [net(tokens[:, index]) for index, net in enumerate(self.project)]
        losses = []
        for m, n in combinations(range(present.shape[1]), 2):
            both = (present[:, m] & present[:, n]).nonzero()[:, 0].to(tokens.device, non_blocking=True)
            if len(both) > 1:
                losses.append(contrastive_loss(projected[m][both], projected[n][both], self.log_scale.exp()))
        return torch.stack(losses).mean() if losses else tokens.sum() * 0
