"""The score from which a patient is classified as positive."""

import torch
from torch import Tensor

from medzoo.models.fitted.exact import ExactPart

__all__ = ["PatientThreshold"]


class PatientThreshold(ExactPart):
    """A threshold of patients' scores, 0.5 until it is fitted.

    Args:
        pattern: Regular expression whose first group is the patient in the id of an image.
    """

    value: Tensor

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self.pattern = pattern
        self.register_buffer("value", torch.tensor(0.5, dtype=torch.float64))
