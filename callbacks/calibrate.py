"""Recalibrates a classifier on the validation split, once, between training and test."""

import lightning as L

from callbacks.collect import predict_validation
from evaluation.calibration import fit_calibration

__all__ = ["Calibrate"]


class Calibrate(L.Callback):
    """Before the test that follows training, fits a slope and biases to the validation split.

    The module takes them by `set_calibration(slope, bias)` and applies them in `predict_step`. A checkpoint that is
    tested later brings its own, so nothing is fitted then.
    """

    def __init__(self) -> None:
        self._trained = False

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember that the module was trained in this run."""
        self._trained = True

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Predict the validation split as the test split will be, and fit."""
        if not self._trained:
            return
        said = predict_validation(trainer, pl_module)
        pl_module.set_calibration(*fit_calibration(said["prob"], said["label"]))  # type: ignore[operator]
