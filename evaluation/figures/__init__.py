"""Figures drawn from arrays, in one style."""

from evaluation.figures.classification import (
    calibration_figure,
    confusion_figure,
    mistakes_figure,
    roc_figure,
)
from evaluation.figures.runs import sweep_figure, training_figure

__all__ = [
    "calibration_figure",
    "confusion_figure",
    "mistakes_figure",
    "roc_figure",
    "sweep_figure",
    "training_figure",
]
