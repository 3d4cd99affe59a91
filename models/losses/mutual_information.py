"""Estimators of the mutual information between two parts of a code, which an encoder minimises.

Each is a network with its own optimiser: `loss` trains it on detached parts, and `forward` is the penalty for the
encoder, during which the estimator is fixed.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CLUB", "DensityRatio"]

LARGEST = 8.0
"""Bound of the absolute log variance of a prediction."""


class DensityRatio(nn.Module):
    """A discriminator between pairs from the same image and shuffled pairs; its logit is the log density ratio.

    Kim and Mnih 2018 (arXiv:1802.05983); Vétil et al. 2023 (arXiv:2308.11389), who clip each
    logit at 0, since a ratio below 1 carries no useful signal.

    Args:
        first_features: F.
        second_features: D.
        hidden: Width of the hidden layers; None for the width of both parts together, as in SepVAE's code.
        layers: Hidden layers; 1 makes the paper's "2-layer MLP", 2 that of SepVAE.
        cut: Clip each logit at 0 in the penalty; otherwise the mean logit may be negative (Abid and Zou 2019).
    """

    def __init__(
        self, *, first_features: int, second_features: int, hidden: int | None = 64, layers: int = 1, cut: bool = True
    ) -> None:
        super().__init__()
        self.cut, both = cut, first_features + second_features
        self.net = _perceptron(both, both if hidden is None else hidden, layers, 1)

    def logits(self, first: Tensor, second: Tensor) -> Tensor:
        """(B,) log ratios of pairs (B, F) and (B, D)."""
        return self.net(torch.cat([first, second], dim=1))[:, 0]

    def loss(self, first: Tensor, second: Tensor) -> Tensor:
        """Binary cross entropy of true against shuffled pairs; 0 if there is only one image."""
        if len(first) < 2:
            return self.logits(first, second).sum() * 0
        true, false = self.logits(first, second), self.logits(first, _others(second))
        return (F.softplus(-true).mean() + F.softplus(false).mean()) / 2

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The penalty, in nats."""
        logits = self.logits(first, second)
        return (logits.relu() if self.cut else logits).mean()

    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        """Mutual information in nats: the mean logit."""
        return self.logits(first, second).mean()


class CLUB(nn.Module):
    """Contrastive log-ratio upper bound: a Gaussian prediction of the second part from the first.

    Cheng et al. 2020 (arXiv:2006.12013, section 3). An upper bound only if the prediction is accurate.

    Args:
        first_features: F.
        second_features: D.
        hidden: Width of the hidden layers.
        layers: Hidden layers.
    """

    def __init__(self, *, first_features: int, second_features: int, hidden: int = 64, layers: int = 1) -> None:
        super().__init__()
        self.mean = _perceptron(first_features, hidden, layers, second_features)
        self.log_variance = _perceptron(first_features, hidden, layers, second_features)

    def loss(self, first: Tensor, second: Tensor) -> Tensor:
        """Negative log-likelihood of the prediction, without its constant."""
        mean, log_variance = self._forecast(first)
        return 0.5 * ((second - mean).square() / log_variance.exp() + log_variance).sum(1).mean()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The bound, over all pairs of the batch, in nats."""
        mean, log_variance = self._forecast(first)
        inverse = (-log_variance).exp()
        true = (second - mean).square()
        centre, spread = second.mean(0), second.var(0, correction=0)
        pairs = (centre - mean).square() + spread  # the mean over all second parts, in closed form
        return 0.5 * ((pairs - true) * inverse).sum(1).mean()

    def estimate(self, first: Tensor, second: Tensor) -> Tensor:
        """As `forward`."""
        return self(first, second)

    def _forecast(self, first: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean(first), LARGEST * (self.log_variance(first) / LARGEST).tanh()


def _perceptron(before: int, hidden: int, layers: int, after: int) -> nn.Sequential:
    widths = [before, *[hidden] * layers]
    steps = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*steps, nn.Linear(widths[-1], after))


def _others(second: Tensor) -> Tensor:
    """The second parts, shuffled between images by a random cyclic shift."""
    shift = int(torch.randint(1, len(second), ()))
    return second.roll(shift, 0)
