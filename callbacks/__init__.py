"""Callbacks: all that is neither mathematics nor data."""

from callbacks.calibrate import Calibrate
from callbacks.classification_figures import ClassificationFigures
from callbacks.finite_guard import FiniteGuard
from callbacks.prediction_writer import PredictionWriter
from callbacks.progress import Progress
from callbacks.step_seed import StepSeed

__all__ = ["Calibrate", "ClassificationFigures", "FiniteGuard", "PredictionWriter", "Progress", "StepSeed"]
