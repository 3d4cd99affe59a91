"""Calibration and patient threshold of classifiers, fitted to the validation cases between training and test."""

import lightning as L
import numpy as np
import torch

from medzoo.evaluation.scores.by_patient import patient_scores
from medzoo.evaluation.scores.calibration import fit_calibration
from medzoo.evaluation.scores.diagnostic import youden_threshold
from medzoo.lightning_modules.contracts import OrderedData
from medzoo.models.fitted import Calibration, PatientThreshold

__all__ = ["fit_to_validation"]


def fit_to_validation(
    module: L.LightningModule,
    datamodule: OrderedData,
    calibration: Calibration | None,
    threshold: PatientThreshold | None,
) -> None:
    """Fit a calibration of images, then the threshold of patients and the calibration of their scores.

    The threshold maximises sensitivity + specificity (Youden). The calibration of patients leaves the order of their
    scores as it is.

    Args:
        module: With `predict_step`, which applies the calibration.
        datamodule: With `ordered_dataloader`.
        calibration: None to leave probabilities uncalibrated.
        threshold: None to fit nothing of patients.
    """
    if calibration is not None:
        prob, label, _ = _predicted(module, datamodule)
        slope, bias = fit_calibration(prob, label)
        calibration.take(slope=slope, bias=bias)
    if threshold is not None:
        prob, label, ids = _predicted(module, datamodule)
        _, score, truth = patient_scores(ids, prob, label, threshold.pattern)
        slope, bias = fit_calibration(np.stack([1 - score, score], axis=1), truth)
        threshold.take(value=youden_threshold(truth == 1, score), slope=slope, shift=bias[1] - bias[0])


@torch.no_grad()
def _predicted(module: L.LightningModule, datamodule: OrderedData) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Probabilities, labels and ids of all validation images, predicted as in the test."""
    prob, label, ids = [], [], []
    for batch in datamodule.ordered_dataloader("val"):
        moved = module.transfer_batch_to_device(batch, module.device, 0)
        prob.append(module.predict_step(moved, 0)["prob"].cpu().numpy())
        label.append(batch["label"].cpu().numpy())
        ids += batch["id"]
    return np.concatenate(prob), np.concatenate(label), ids
