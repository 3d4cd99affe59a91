"""Cases of a table in batches."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.batches import ResumableBatches

__all__ = ["TableBatches"]


class TableBatches(ResumableBatches):
    """Batches of `{"id": list[str], "x": (B, K) float64}`, and `label` (B,) int64 where it is known, in order."""

    def __init__(
        self, x: Tensor, names: Sequence[str], positive: np.ndarray | None, batch_size: int, rank: int, world_size: int
    ) -> None:
        super().__init__(batch_size=batch_size, rank=rank, world_size=world_size)
        self.x, self.names = x, list(names)
        self.label = None if positive is None else torch.from_numpy(positive.astype(np.int64))

    def plan(self, epoch: int) -> Sequence[Tensor]:
        """Every case once."""
        return self.ordered_plan(len(self.names))

    def batch(self, chosen: Tensor, index: int) -> dict[str, Any]:
        """Some cases."""
        said: dict[str, Any] = {"id": [self.names[row] for row in chosen.tolist()], "x": self.x[chosen]}
        return said if self.label is None else {**said, "label": self.label[chosen]}
