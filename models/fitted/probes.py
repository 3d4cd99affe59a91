"""Logistic regressions on several sets of features, and what they reach on validation images."""

import torch
from torch import Tensor

from medzoo.models.fitted.part import ExactPart, FittedPart

__all__ = ["Areas", "Probes"]


class Probes(FittedPart):
    """S regressions, each on a subset of F features: the other weights are 0.

    Args:
        sets: S.
        num_classes: K.
        features: F.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, sets: int, num_classes: int, features: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(sets, num_classes, features))
        self.register_buffer("bias", torch.zeros(sets, num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Probabilities (B, S, K) of features (B, F)."""
        return (torch.einsum("skf,bf->bsk", self.weight, features.float()) + self.bias).softmax(-1)


class Areas(ExactPart):
    """AUC of every set on the validation images, in `auc` (S,)."""

    auc: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare("auc")
