"""Recalibrates a classifier on the validation split, once, between training and test."""

import lightning as L
import numpy as np
import torch

from callbacks.collect import gather
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
        parts = []
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            for batch in trainer.datamodule.val_dataloader():  # type: ignore[attr-defined]
                moved = pl_module.transfer_batch_to_device(batch, pl_module.device, 0)
                prob = pl_module.predict_step(moved, 0)["prob"]
                parts.append((prob.cpu().numpy(), batch["label"].numpy()))
        prob, labels = (np.concatenate(column) for column in zip(*gather(parts), strict=True))
        pl_module.set_calibration(*fit_calibration(prob, labels))  # type: ignore[operator]
