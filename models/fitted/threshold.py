"""The score from which a patient is classified as positive, and the probability that a score stands for."""

import torch
from torch import Tensor

from medzoo.models.fitted.part import ExactPart

__all__ = ["PatientThreshold"]


class PatientThreshold(ExactPart):
    """A threshold of patients' scores, 0.5 until it is fitted, and a calibration of them, empty until it is fitted.

    Args:
        pattern: Regular expression whose first group is the patient in the id of an image.
    """

    value: Tensor
    slope: Tensor
    shift: Tensor

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self.pattern = pattern
        self.register_buffer("value", torch.tensor(0.5, dtype=torch.float64))
        self.declare("slope", "shift")  # absent from checkpoints of earlier versions

    @property
    def calibrated(self) -> bool:
        """Whether the calibration was fitted."""
        return bool(self.slope.numel())

    def probability(self, score: Tensor) -> Tensor:
        """Calibrated probabilities (N,) of scores (N,): sigmoid(slope * logit(score) + shift)."""
        return (self.slope * self.exact(score).clamp(1e-6, 1 - 1e-6).logit() + self.shift).sigmoid()
