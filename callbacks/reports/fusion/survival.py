"""The survival part of the test of a fusion: order of the patients, and what is right at which time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from medzoo.callbacks.collect import Predictions
from medzoo.callbacks.output import Row
from medzoo.evaluation.measures.survival import (
    area_over_time,
    brier_over_time,
    concordance,
    concordance_interval,
    concordance_uno,
    integrated_brier,
    mean_area,
)

__all__ = ["Curves", "Survival", "curves_of", "survival_report"]


class Survival(Protocol):
    """The fitted baseline survival; `fitted` (one bool) is false in checkpoints without it."""

    fitted: Tensor
    asked: Tensor

    def __call__(self, log_hazard: Tensor, times: Tensor) -> Tensor:
        """Probabilities (N, T) of surviving each time."""

    def of_all(self, times: Tensor) -> Tensor:
        """The same (T,), whoever the patient is."""


@dataclass(frozen=True)
class Curves:
    """Predicted survival of N patients.

    Attributes:
        moments: (T,) months, the deciles of the training patients' events.
        survival: (N, T) probabilities of surviving each.
        common: (T,) the share of the training patients who do (Kaplan-Meier).
        summed: (N,) the sum of the log hazards of each modality's own head.
    """

    moments: np.ndarray
    survival: np.ndarray
    common: np.ndarray
    summed: np.ndarray


def curves_of(survival: Survival, risk: np.ndarray, summed: np.ndarray) -> Curves | None:
    """Survival of patients of log hazard (N,), None without a fitted baseline."""
    if not bool(survival.fitted):
        return None
    given = torch.from_numpy(risk)
    found = survival(given, survival.asked), survival.of_all(survival.asked)
    alive, common = (each.cpu().numpy() for each in found)
    return Curves(survival.asked.cpu().numpy(), alive, common, summed)


def survival_report(
    found: Predictions, curves: Curves | None, resamples: int
) -> tuple[dict[str, float], dict[str, Sequence[Row]]]:
    """Metrics and tables; see `FusionReport`."""
    time, event, risk = found["time"], found["event"], found["risk"]
    low, high = concordance_interval(time, event, risk, resamples=resamples)
    metrics = {"test/c_index_low": low, "test/c_index_high": high}
    metrics["test/c_index_uno"] = concordance_uno(time, event, risk)
    tables: dict[str, Sequence[Row]] = {"predictions/survival.csv": _rows(found)}
    if curves is None:
        return metrics, tables
    moments, common = curves.moments, np.broadcast_to(curves.common, curves.survival.shape)
    areas = area_over_time(time, event, risk, moments)
    brier, constant = (brier_over_time(time, event, each, moments) for each in (curves.survival, common))
    metrics["test/sum_c_index"] = concordance(time, event, curves.summed)["c_index"]
    metrics["test/survival_auc"] = mean_area(time, event, areas, moments)
    metrics["test/integrated_brier"] = integrated_brier(brier, moments)
    metrics["test/integrated_brier_common"] = integrated_brier(constant, moments)
    columns: dict[str, Any] = {
        "months": moments,
        "at_risk": (time[:, None] > moments).sum(0),
        "events": ((time[:, None] <= moments) & event[:, None].astype(bool)).sum(0),
        "auc": areas,
        "brier": brier,
        "brier_common": constant,
        "survival": curves.survival.mean(0),
        "survival_common": curves.common,
    }
    tables["test_survival.csv"] = [
        {name: values[place].item() for name, values in columns.items()} for place in range(len(moments))
    ]
    return metrics, tables


def _rows(found: Predictions) -> list[Row]:
    """A row for each patient: id, logarithm of the hazard up to a constant, time and event."""
    columns = zip(found["id"], found["risk"], found["time"], found["event"], strict=True)
    return [
        {"id": name, "log_hazard": f"{risk:.6g}", "time": f"{time:.6g}", "event": int(event)}
        for name, risk, time, event in columns
    ]
