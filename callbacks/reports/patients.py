"""From scores of images to scores of patients, judged at the threshold of the module."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import lightning as L
import numpy as np
import torch
from torch import Tensor

from medzoo.callbacks.output import Report, Row
from medzoo.callbacks.reports.base import TestReport
from medzoo.evaluation.figures import decision_figure, roc_figure
from medzoo.evaluation.scores.by_patient import judge_patients, patient_scores

__all__ = ["PatientScores", "Patients"]

_RATES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")


class Threshold(Protocol):
    """A threshold of patient scores, the calibration of these, and the pattern that finds the patient in an id."""

    pattern: str
    value: Tensor
    calibrated: bool

    def probability(self, score: Tensor) -> Tensor:
        """Calibrated probabilities (N,) of scores (N,)."""


class Module(Protocol):
    """Members of the module that are used."""

    patients: Threshold


class Data(Protocol):
    """Members of the datamodule that are used; `without_image` (labels by patient) only where it has such patients."""

    class_names: Sequence[str]
    without_image: Mapping[str, int]


@dataclass(frozen=True)
class Patients:
    """N patients: their names, scores (N,) and labels (N,) of 0 and 1, and the threshold of a positive score.

    `probability` (N,) is calibrated, None if nothing was calibrated; the last `without_image` patients have no image.
    """

    names: Sequence[str]
    score: np.ndarray
    label: np.ndarray
    threshold: float
    probability: np.ndarray | None = None
    without_image: int = 0


class PatientScores(TestReport[Module, Data, Patients]):
    """A patient's score is the mean probability of the last class over the patient's images.

    How a patient is found in an id, the threshold and the calibration are those of the module's `patients`, fitted to
    the validation patients. A test patient of whom there is no image, because no bleed was found, counts with score and
    probability 0: the system says that there is nothing that could expand, and is wrong if it does.

    Logs `test/patient_auc` of the scores with DeLong's 95% interval, the rates at the threshold, slope and intercept of
    the scores, `test/patient_brier` of the scores and `test/patient_brier_calibrated` of the calibrated probabilities,
    `test/patient_count` and, of these, `test/patient_without_image`. Writes `test_patients.csv` (rates with Wilson's
    intervals) and `predictions/patients.csv`, and draws the ROC of the scores and the decision curve, of calibrated
    probabilities where there are any.

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
        found, fitted = self.predictions(), module.patients
        names, score, label = patient_scores(found["id"], found["prob"], found["label"], fitted.pattern)
        probability = fitted.probability(torch.from_numpy(score)).cpu().numpy() if fitted.calibrated else None
        unseen: Mapping[str, int] = getattr(data, "without_image", {})
        nothing = np.zeros(len(unseen))
        return Patients(
            names=[*names, *unseen],
            score=np.append(score, nothing),
            label=np.append(label, [*unseen.values()]).astype(int),
            threshold=float(fitted.value),
            probability=None if probability is None else np.append(probability, nothing),
            without_image=len(unseen),
        )

    def report(self, collected: Patients, data: Data) -> Report:
        """Area, rates, calibration, tables and curves."""
        score, positive, count = collected.score, collected.label == 1, len(collected.score)
        unseen = np.arange(count) >= count - collected.without_image
        found = judge_patients(positive, score, collected.threshold, collected.probability, unseen)
        kept = ("auc", "auc_low", "auc_high", *_RATES, "brier", "brier_calibrated")
        numbers = {name: found[name] for name in kept if name in found}
        numbers |= {name: found[name] for name in ("calibration_slope", "calibration_intercept")}
        numbers |= {"threshold": collected.threshold, "count": count, "without_image": collected.without_image}
        outcome = str(data.class_names[-1])
        roc = roc_figure(positive, {"patients": score}, resamples=self.resamples, outcome=outcome)
        calibrated = score if collected.probability is None else collected.probability
        return Report(
            metrics={f"test/patient_{name}": value for name, value in numbers.items()},
            tables={
                "test_patients.csv": [_bounded(name, found) for name in ("auc", *_RATES)],
                "predictions/patients.csv": _rows(collected),
            },
            figures={"patients_roc": roc, "patients_decision": decision_figure(positive, {"model": calibrated})},
        )


def _rows(patients: Patients) -> list[Row]:
    """A row for each patient; without an image the score is that of the rule."""
    first = len(patients.names) - patients.without_image
    known = [""] * len(patients.names) if patients.probability is None else map(repr, patients.probability.tolist())
    return [
        {"id": name, "score": repr(score), "label": label, "probability": one, "without_image": int(number >= first)}
        for number, (name, score, label, one) in enumerate(
            zip(patients.names, patients.score.tolist(), patients.label.tolist(), known, strict=True)
        )
    ]


def _bounded(name: str, numbers: dict[str, float]) -> Row:
    """A rate and its interval."""
    return {"rate": name, "value": numbers[name], "low": numbers[f"{name}_low"], "high": numbers[f"{name}_high"]}
