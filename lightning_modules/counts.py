"""What is summed or kept over a split and over all ranks, as metrics."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

__all__ = ["KeptRows", "VoxelCounts"]


class VoxelCounts(Metric):
    """Voxels of each of `classes` that are found and true, found, and true: (3, classes) float64."""

    full_state_update = False
    counts: Tensor

    def __init__(self, classes: int, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("counts", torch.zeros(3, classes, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, found: Tensor, true: Tensor) -> None:
        """Count (N, classes) of 0 and 1, or bool."""
        pair = found.bool(), true.bool()
        self.counts += torch.stack([each.sum(0) for each in (pair[0] & pair[1], *pair)])

    def compute(self) -> Tensor:
        """The counts."""
        return self.counts


class KeptRows(Metric):
    """Rows (N, F) of a whole split."""

    full_state_update = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def update(self, rows: Tensor) -> None:
        """Keep a batch."""
        self.rows.append(rows.detach())  # type: ignore[union-attr, operator]

    def compute(self) -> Tensor:
        """All rows."""
        return dim_zero_cat(self.rows)  # type: ignore[arg-type]
