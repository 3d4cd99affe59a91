"""From scores of images to scores of patients, judged at the threshold of the module."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import lightning as L
import numpy as np
from torch import Tensor

from medzoo.callbacks.output import Report, Row
from medzoo.callbacks.reports.base import TestReport
from medzoo.evaluation.figures import decision_figure, roc_figure
from medzoo.evaluation.scores.by_patient import patient_scores
from medzoo.evaluation.scores.diagnostic import calibration_line, delong, rates

__all__ = ["PatientScores", "Patients"]

_RATES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")


class Threshold(Protocol):
    """A threshold of patient scores, and the pattern that finds the patient in an id."""

    pattern: str
    value: Tensor


class Module(Protocol):
    """Members of the module that are used."""

    patients: Threshold


class Data(Protocol):
    """Members of the datamodule that are used."""

    class_names: Sequence[str]


@dataclass(frozen=True)
class Patients:
    """N patients: their names, scores (N,) and labels (N,) of 0 and 1, and the threshold of a positive score."""

    names: Sequence[str]
    score: np.ndarray
    label: np.ndarray
    threshold: float


class PatientScores(TestReport[Module, Data, Patients]):
    """A patient's score is the mean probability of the last class over the patient's images.

    How a patient is found in an id, and the threshold, are those of the module's `patients`; the threshold was chosen
    on the validation patients. Logs `test/patient_auc` with DeLong's 95% interval, the rates at the threshold,
    `test/patient_brier` and calibration. Writes `test_patients.csv` (rates with Wilson's intervals) and
    `predictions/patients.csv`, and draws the ROC and the decision curve.

    Args:
        resamples: Bootstrap draws behind the figure's interval.
    """

    def __init__(self, resamples: int = 1000) -> None:
        super().__init__()
        self.resamples = resamples

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Refuse a module that knows no patients.

        Raises:
            ValueError: If it does not.
        """
        if stage in ("fit", "test") and getattr(pl_module, "patients", None) is None:
            raise ValueError(
                "medzoo.callbacks.PatientScores needs lightning_module.patient, which finds the patient in an id"
            )

    def collected(self, module: Module, data: Data) -> Patients:
        """The mean scores of all patients, and the threshold."""
        found, pattern = self.predictions(), module.patients.pattern
        scores = patient_scores(found["id"], found["prob"], found["label"], pattern)
        return Patients(*scores, threshold=float(module.patients.value))

    def report(self, collected: Patients, data: Data) -> Report:
        """Area, rates, calibration, tables and curves."""
        score, label = collected.score, collected.label
        positive = label == 1
        area, called = delong(positive, score), rates(positive, score >= collected.threshold)
        numbers = {name: area[name] for name in ("auc", "auc_low", "auc_high")}
        numbers |= {name: called[name] for name in _RATES} | calibration_line(positive, score)
        numbers["threshold"] = collected.threshold
        outcome = str(data.class_names[-1])
        roc = roc_figure(positive, {"patients": score}, resamples=self.resamples, outcome=outcome)
        return Report(
            metrics={f"test/patient_{name}": value for name, value in numbers.items()},
            tables={
                "test_patients.csv": [_bounded("auc", area), *(_bounded(name, called) for name in _RATES)],
                "predictions/patients.csv": [
                    {"id": name, "score": repr(float(one)), "label": int(other)}
                    for name, one, other in zip(collected.names, score, label, strict=True)
                ],
            },
            figures={"patients_roc": roc, "patients_decision": decision_figure(positive, {"model": score})},
        )


def _bounded(name: str, numbers: dict[str, float]) -> Row:
    """A rate and its interval."""
    return {"rate": name, "value": numbers[name], "low": numbers[f"{name}_low"], "high": numbers[f"{name}_high"]}
