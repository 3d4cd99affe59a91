"""What a fusion fits after training: shrinkage to validation patients, survival and baselines to training patients."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from medzoo.evaluation.regression.breslow import fit_baseline_survival
from medzoo.evaluation.regression.learners.comparators import boosting
from medzoo.evaluation.regression.learners.plain import plain_filler, plain_model
from medzoo.evaluation.scores.calibration import fit_share
from medzoo.lightning_modules.contracts import Batch
from medzoo.models.fitted import BaselineSurvival, CohortBaselines
from medzoo.models.fusion import Shrinkage, summed_evidence

__all__ = ["Evaluated", "fit_clinical", "fit_shrinkage", "fit_survival"]

log = logging.getLogger(__name__)


class Evaluated(NamedTuple):
    """A batch with the evidence (B, M, K + 1) and the fused output (B, K + 1) of its patients."""

    batch: Batch
    evidence: Tensor
    output: Tensor


def fit_shrinkage(shrinkage: Shrinkage, batches: Iterable[Evaluated]) -> None:
    """Choose the share of the fusion, beside the summed evidence, that suits the labels of validation patients best.

    Args:
        shrinkage: With its prior, and a share of 1.
        batches: Of the validation patients.
    """
    found = []
    for batch, evidence, output in batches:
        summed = summed_evidence(evidence, batch["present"].to(evidence.device), shrinkage.prior)
        found.append((output, summed, batch["label"]))
    logits, start, label = (torch.cat(each).cpu().numpy() for each in zip(*found, strict=True))
    shrinkage.take(share=fit_share(logits[:, :-1], start[:, :-1], label))


def fit_survival(survival: BaselineSurvival, batches: Iterable[Evaluated]) -> None:
    """Fit the baseline survival to the training patients and the log hazards that the fusion gives them.

    Without events it stays unfitted, and survival has no curves.
    """
    found = [(batch["time"], batch["event"], output[:, -1].double()) for batch, _, output in batches]
    time, event, log_hazard = (torch.cat(each).cpu().numpy() for each in zip(*found, strict=True))
    if not (event.astype(bool) & np.isfinite(time)).any():
        log.warning("no training patient has the event: survival curves and their scores are left out")
        return
    survival.take(**fit_baseline_survival(time, event, log_hazard))


def fit_clinical(baselines: CohortBaselines, train: Mapping[str, Any], column: int) -> None:
    """Fit gradient boosting of two classes to the clinical variables; `column` of `present` says who has them."""
    known = train["present"][:, column]
    rows = train["clinical"][known]
    _, fit = boosting([str(number) for number in range(rows.shape[1])])
    made: Any = fit(rows, np.asarray(train["label"])[known] == 1)
    baselines.clinical.fill.take(**plain_filler(made.fill))
    baselines.clinical.model.take(**plain_model(made.model))
