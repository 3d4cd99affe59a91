"""Cox's partial likelihood, with ties after Breslow or Efron."""

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["CoxLoss"]

_NOT_AT_RISK = -1e30  # a log hazard whose exponential is 0, with a gradient of 0 rather than NaN


class CoxLoss(nn.Module):
    """Negative log partial likelihood of a batch, for each event (Cox 1972).

    Each patient who dies is compared with those of the batch still under observation, so the loss depends on the batch
    size: make it large. Computed in float64.

    Args:
        ties: How to treat equal times of death: `breslow` keeps all of them at risk (doi:10.2307/2529620), `efron`
            averages over their possible orders (doi:10.1080/01621459.1977.10480613).
    """

    def __init__(self, ties: Literal["breslow", "efron"] = "breslow") -> None:
        super().__init__()
        self.ties = ties

    def forward(self, log_hazard: Tensor, time: Tensor, event: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            log_hazard: (B,).
            time: (B,), of the event or the end of observation; patients without one (NaN) are left out.
            event: (B,) bool.

        Returns:
            A scalar; 0 if there is no event at a known time.
        """
        followed = time.isfinite()  # the others come last, without a share in any sum
        time, event = time.where(followed, -torch.inf), event.bool() & followed
        order = time.argsort(descending=True)
        time, event = time[order], event[order]
        hazard = log_hazard.double().where(followed, _NOT_AT_RISK)[order]
        last = torch.searchsorted(-time, -time, right=True) - 1  # of those with the same time: all are at risk
        at_risk = hazard.logcumsumexp(0)[last]
        if self.ties == "efron":
            at_risk = at_risk + _without_predecessors(hazard, at_risk, time, event)
        loss = (at_risk - hazard).where(event, 0.0).sum() / event.sum().clamp_min(1)
        return loss.to(log_hazard.dtype)


def _without_predecessors(hazard: Tensor, at_risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """What to add to the logarithm of the hazard at risk: the r-th of d tied deaths leaves out r / d of theirs."""
    tied = (time[:, None] == time[None]) & event[None]
    deaths = tied.sum(1)
    rank = (tied & torch.ones_like(tied).tril(-1)).sum(1)
    total = hazard.expand(len(hazard), -1).masked_fill(~tied, _NOT_AT_RISK).logsumexp(1)
    share = rank / deaths.clamp_min(1)
    return torch.log1p(-share * (total - at_risk).where(event, _NOT_AT_RISK).exp())
