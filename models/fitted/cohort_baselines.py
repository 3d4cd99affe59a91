"""What a fusion of modalities is compared with, as the training patients have it."""

import torch
from torch import Tensor

from models.fitted.part import FittedPart

__all__ = ["CohortBaselines"]


class CohortBaselines(FittedPart):
    """`common` (K,) is how common each class is: what is said of patients who lack a modality.

    Args:
        num_classes: K.
    """

    common: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("common", torch.zeros(num_classes, dtype=torch.float64))
