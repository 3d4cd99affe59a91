"""Baselines for the test, fitted to the training patients."""

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
        self.declare(*(f"risk_{part}" for part in ("weight", "bias", "fill")))
        for group in ("stable", "expanding"):
            self.declare(*(f"{group}_{part}" for part in ("growth", "weight", "bias", "residuals")))


class CohortBaselines(ExactPart):
    """Baselines for a fusion of modalities.

    `common` (K,) holds the class frequencies, predicted for patients who lack a modality. `clinical` is gradient
    boosting on the clinical variables, fitted if there are two classes and clinical variables.
    """

    common: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare("common")
        self.clinical = Filled(Trees())
