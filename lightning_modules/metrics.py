"""Metrics of whole splits, gathered over batches and ranks."""

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from medzoo.evaluation.measures.survival import concordance

__all__ = ["ConcordanceIndex", "KeptRows"]


class ConcordanceIndex(Metric):
    """Harrell's C-index of risks (B,), times (B,) and events (B,); see `evaluation.measures.survival.concordance`."""

    full_state_update = False

    def __init__(self) -> None:
        super().__init__()
        for name in ("risk", "time", "event"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, risk: Tensor, time: Tensor, event: Tensor) -> None:
        """Add a batch."""
        for name, values in (("risk", risk), ("time", time), ("event", event)):
            getattr(self, name).append(values.detach().double())

    def compute(self) -> Tensor:
        """The index; NaN if no two patients can be compared."""
        risk, time, event = (dim_zero_cat(getattr(self, name)).cpu().numpy() for name in ("risk", "time", "event"))
        return torch.tensor(concordance(time, event, risk)["c_index"])


class KeptRows(Metric):
    """Rows (N, F) of a whole split."""

    full_state_update = False
    rows: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def update(self, rows: Tensor) -> None:
        """Add a batch."""
        self.rows.append(rows.detach())

    def compute(self) -> Tensor:
        """All rows."""
        return dim_zero_cat(self.rows)
