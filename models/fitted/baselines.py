"""Baselines for the test, fitted to the training patients."""

from torch import Tensor

from medzoo.models.fitted.comparators import Filled, Trees
from medzoo.models.fitted.part import ExactPart

__all__ = ["CohortBaselines", "GrowthModel", "VolumeBaselines"]


_OF_GROWTH = (
    *(f"risk_{part}" for part in ("weight", "bias", "fill")),
    *(f"{group}_{part}" for group in ("stable", "expanding") for part in ("growth", "weight", "bias", "residuals")),
)


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
        self.declare("growth", "fill", "weight", "unknown", "bias", "residuals", *_OF_GROWTH)


class GrowthModel(ExactPart):
    """Numbers of `evaluation.regression.growth`: risk, growth of each group, and trust in the network's growth."""

    share: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare(*_OF_GROWTH, "share", "spread")


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
