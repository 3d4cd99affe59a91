"""What a test compares a model with, as the training patients have it."""

from torch import Tensor

from medzoo.models.fitted.comparators import Filled, Trees
from medzoo.models.fitted.exact import ExactPart

__all__ = ["CohortBaselines", "VolumeBaselines"]


class VolumeBaselines(ExactPart):
    """Numbers that `evaluation.scores.followup_baselines.fit_baselines` gives and `baseline_forecasts` reads."""

    growth: Tensor
    fill: Tensor
    weight: Tensor
    unknown: Tensor
    bias: Tensor
    residuals: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare("growth", "fill", "weight", "unknown", "bias", "residuals")


class CohortBaselines(ExactPart):
    """What a fusion of modalities is compared with.

    `common` (K,) is how common each class is, which is said of patients who lack a modality. `clinical` is gradient
    boosting of the clinical variables; it is fitted where there are two classes and clinical variables.
    """

    common: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare("common")
        self.clinical = Filled(Trees())
