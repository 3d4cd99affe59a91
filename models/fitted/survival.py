"""Survival of patients from the logarithms of their hazards."""

import torch
from torch import Tensor

from medzoo.models.fitted.part import ExactPart

__all__ = ["BaselineSurvival"]


class BaselineSurvival(ExactPart):
    """Numbers that `evaluation.regression.breslow.fit_baseline_survival` gives.

    `asked` (T,) are the times at which a test looks at survival.
    """

    moments: Tensor
    hazard: Tensor
    common: Tensor
    asked: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare("moments", "hazard", "common", "asked")

    def forward(self, log_hazard: Tensor, times: Tensor) -> Tensor:
        """Probabilities (N, T) that patients of log hazard (N,) survive some times (T,)."""
        cumulative = self._at(self.hazard, times, 0.0)
        return torch.exp(-cumulative * self.exact(log_hazard).exp()[:, None])

    def of_all(self, times: Tensor) -> Tensor:
        """Probabilities (T,) whoever the patient is: Kaplan and Meier's, of the training patients."""
        return self._at(self.common, times, 1.0)

    def _at(self, values: Tensor, times: Tensor, start: float) -> Tensor:
        place = torch.searchsorted(self.moments, self.exact(times), right=True)
        return torch.cat([values.new_tensor([start]), values])[place]
