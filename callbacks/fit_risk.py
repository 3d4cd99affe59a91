"""Fits the risk model of a forecasting module to the training split's clinical table."""

import lightning as L

from evaluation.risk import fit_risk

__all__ = ["FitRisk"]


class FitRisk(L.Callback):
    """Before training, hands a logistic regression of expansion on the clinical variables to the module.

    The module takes it by `set_risk(weight, bias, fill)` and keeps it in its state, so every checkpoint has it.
    """

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Fit on the training patients."""
        table = trainer.datamodule.clinical("train")  # type: ignore[attr-defined]
        pl_module.set_risk(*fit_risk(table["clinical"], table["label"]))  # type: ignore[operator]
