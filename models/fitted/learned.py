"""Random forests and support-vector machines on several sets of features: what a regression may leave unused."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from medzoo.models.fitted.comparators import SupportVectors, Trees

__all__ = ["LearnedProbes"]


class LearnedProbes(nn.Module):
    """A forest and a machine for each of S sets of features, as `evaluation.regression.learners.tuned` fits them.

    Args:
        sets: The columns of each set.
    """

    forests: Any
    machines: Any

    def __init__(self, sets: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.sets = [list(columns) for columns in sets]
        self.forests = nn.ModuleList(Trees() for _ in sets)
        self.machines = nn.ModuleList(SupportVectors() for _ in sets)

    @property
    def fitted(self) -> bool:
        """Whether there are any: not in older checkpoints, nor of a class with too few cases."""
        return all(bool(part.fitted) for part in (*self.forests, *self.machines))

    def take(self, learnt: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
        """Copy the arrays of forest and machine of each set."""
        for forest, machine, arrays in zip(self.forests, self.machines, learnt, strict=True):
            forest.take(**arrays[0])
            machine.take(**arrays[1])

    def forward(self, features: Tensor) -> Tensor:
        """Probabilities (B, 2 S, K) of features (B, F), of all forests, then of all machines."""
        rows = features.double()
        found = [part(rows[:, chosen]) for group in (self.forests, self.machines)
                 for part, chosen in zip(group, self.sets, strict=True)]  # fmt: skip
        return torch.stack([torch.stack([1 - prob, prob], 1) if prob.ndim == 1 else prob for prob in found], 1)
