"""Gated attention over a bag (Ilse et al. 2018, arXiv:1802.04712, equation 9), written from the paper."""

import torch
from torch import Tensor, nn

__all__ = ["GatedAttention"]


class GatedAttention(nn.Module):
    """The mean of a bag, weighted by a small gated network's score of each member.

    Args:
        dim: Width of a member.
        hidden: Width of the gated network.
    """

    def __init__(self, dim: int, hidden: int = 64) -> None:
        super().__init__()
        self.signal, self.gate = nn.Linear(dim, hidden), nn.Linear(dim, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, bag: Tensor, hidden: int = 0) -> tuple[Tensor, Tensor]:
        """Mean (B, dim) of bags (B, T, dim), and weights (B, T), which sum to 1.

        The members of the highest scores are left out of each bag, as many as `hidden`, fewer than T.
        """
        scores = self.score(self.signal(bag).tanh() * self.gate(bag).sigmoid()).squeeze(-1)
        if hidden:
            scores = scores.scatter(1, scores.topk(hidden, 1).indices, -torch.inf)
        weights = scores.softmax(1)
        return torch.einsum("bt,btd->bd", weights, bag), weights
