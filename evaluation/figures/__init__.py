"""Figures drawn from arrays, in one style."""

from medzoo.evaluation.figures.classification import calibration_figure, confusion_figure, mistakes_figure
from medzoo.evaluation.figures.decision import decision_figure
from medzoo.evaluation.figures.explanation import explanation_figure
from medzoo.evaluation.figures.followup.forecasts import baseline_figure, forecast_figure, pit_figure
from medzoo.evaluation.figures.followup.patients import counterfactual_figure, patient_figure, reconstruction_figure
from medzoo.evaluation.figures.fusion import importance_figure, shift_figure, subsets_figure, weights_figure
from medzoo.evaluation.figures.nomogram.page import nomogram_html
from medzoo.evaluation.figures.nomogram.paper import nomogram_figure
from medzoo.evaluation.figures.representations import (
    areas_figure,
    correlation_figure,
    pairs_figure,
    projection_figure,
    traversal_figure,
)
from medzoo.evaluation.figures.roc import class_roc_figure, models_roc_figure, roc_figure
from medzoo.evaluation.figures.runs import grid_figure, image_grid, sweep_figure, training_figure
from medzoo.evaluation.figures.segmentation import segmentation_figure

__all__ = [
    "areas_figure",
    "baseline_figure",
    "calibration_figure",
    "class_roc_figure",
    "confusion_figure",
    "correlation_figure",
    "counterfactual_figure",
    "decision_figure",
    "explanation_figure",
    "forecast_figure",
    "grid_figure",
    "image_grid",
    "importance_figure",
    "mistakes_figure",
    "models_roc_figure",
    "nomogram_figure",
    "nomogram_html",
    "pairs_figure",
    "patient_figure",
    "pit_figure",
    "projection_figure",
    "reconstruction_figure",
    "roc_figure",
    "segmentation_figure",
    "shift_figure",
    "subsets_figure",
    "sweep_figure",
    "training_figure",
    "traversal_figure",
    "weights_figure",
]
