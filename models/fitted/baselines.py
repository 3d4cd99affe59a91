"""What a forecast of follow-up volumes is compared with, as the training patients have it."""

import torch
from torch import Tensor

from models.fitted.part import FittedPart

__all__ = ["VolumeBaselines"]


class VolumeBaselines(FittedPart):
    """Numbers that `evaluation.followup_baselines.fit_baselines` gives and `baseline_forecasts` reads."""

    growth: Tensor
    fill: Tensor
    weight: Tensor
    unknown: Tensor
    bias: Tensor
    residuals: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare("growth", "fill", "weight", "unknown", "bias", "residuals", dtype=torch.float64)
