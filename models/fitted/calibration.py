"""Recalibration of a classifier's probabilities: one slope, and a bias for each class."""

import torch
from torch import Tensor

from medzoo.models.fitted.part import FittedPart

__all__ = ["Calibration"]


class Calibration(FittedPart):
    """Scales and shifts log probabilities; the identity before the fit.

    Args:
        num_classes: K.
        independent: Whether classes are independent, as with several labels.
    """

    slope: Tensor
    bias: Tensor

    def __init__(self, num_classes: int, independent: bool = False) -> None:
        super().__init__()
        self.independent = independent
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("bias", torch.zeros(num_classes))

    def forward(self, prob: Tensor) -> Tensor:
        """Of probabilities p (B, K): softmax(slope log p + bias), or sigmoid(slope logit p + bias)."""
        prob = prob.clamp(1e-6, 1 - 1e-6)
        if self.independent:
            return (self.slope * prob.logit() + self.bias).sigmoid()
        return (self.slope * prob.log() + self.bias).softmax(dim=1)
