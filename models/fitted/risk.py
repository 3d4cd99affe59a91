"""Logistic regression of an event on clinical values."""

import torch
from torch import Tensor

from medzoo.models.fitted.part import FittedPart

__all__ = ["RiskModel"]


class RiskModel(FittedPart):
    """Numbers that `evaluation.regression.risk.fit_risk` gives; `evaluation.regression.risk.risk_of` reads them.

    Args:
        variables: K clinical variables.
        features: Of each variable.
    """

    weight: Tensor
    bias: Tensor
    fill: Tensor

    def __init__(self, variables: int, features: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(features * variables))
        self.register_buffer("bias", torch.zeros(()))
        self.register_buffer("fill", torch.zeros(variables))
