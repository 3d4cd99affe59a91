"""From scores of slices to scores of patients, with a threshold that the validation split has chosen."""

import re
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from callbacks.classification_figures import save_figures
from callbacks.collect import CollectPredictions, predict_validation
from callbacks.prediction_writer import write_csv
from evaluation.diagnostic import calibration_line, delong, rates, youden_threshold
from evaluation.figures import decision_figure, expansion_roc_figure

__all__ = ["PatientScores"]

_RATES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")


class PatientScores(CollectPredictions):
    """A patient's score is the mean probability of the last class over the patient's slices.

    Before the test, the threshold with the largest sensitivity + specificity on the validation patients is found. Logs
    `test/patient_auc` with DeLong's 95% interval, the rates at that threshold, `test/patient_brier` and calibration.
    Writes `test_patients.csv` (rates with Wilson's intervals) and `predictions/patients.csv`, and draws the ROC and the
    decision curve.

    Args:
        pattern: Regular expression whose first group is the patient in the id of a slice.
        resamples: Bootstrap draws behind the figure's interval.
    """

    def __init__(self, pattern: str = "(.*)_(?:up|max|low)", resamples: int = 1000) -> None:
        super().__init__()
        self.pattern, self.resamples = re.compile(pattern), resamples
        self.threshold = 0.5

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Choose the threshold on the validation patients."""
        said = predict_validation(trainer, pl_module)
        _, score, label = self._patients(said["id"], said["prob"], said["label"])
        self.threshold = youden_threshold(label == 1, score)

    def finish(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str, collected: dict[str, Any]) -> None:
        """Score, log, write and draw."""
        if stage != "test":
            return
        names, score, label = self._patients(collected["id"], collected["prob"], collected["label"])
        positive = label == 1
        area, called = delong(positive, score), rates(positive, score >= self.threshold)
        numbers = {name: area[name] for name in ("auc", "auc_low", "auc_high")}
        numbers |= {name: called[name] for name in _RATES} | calibration_line(positive, score)
        numbers["threshold"] = self.threshold
        logged = {f"test/patient_{name}": torch.tensor(float(value)) for name, value in numbers.items()}
        pl_module.log_dict(logged)
        if not trainer.is_global_zero:
            return
        run = Path(trainer.default_root_dir)
        rows = [{"rate": "auc", "value": area["auc"], "low": area["auc_low"], "high": area["auc_high"]}]
        rows += [
            {"rate": name, "value": called[name], "low": called[f"{name}_low"], "high": called[f"{name}_high"]}
            for name in _RATES
        ]
        write_csv(run / "test_patients.csv", rows)
        scored = zip(names, score, label, strict=True)
        table = [{"id": name, "score": repr(float(one)), "label": int(other)} for name, one, other in scored]
        write_csv(run / "predictions" / "patients.csv", table)
        classes = trainer.datamodule.class_names  # type: ignore[attr-defined]
        figures = {
            "patients_roc": expansion_roc_figure(
                label, {"patients": score}, resamples=self.resamples, what=str(classes[-1])
            ),
            "patients_decision": decision_figure(positive, score),
        }
        save_figures(trainer, figures, run / "figures")

    def _patients(self, ids: Any, prob: np.ndarray, label: np.ndarray) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Names in order, mean probabilities of the last class, labels."""
        groups: dict[str, list[int]] = {}
        for index, name in enumerate(ids):
            found = self.pattern.fullmatch(name)
            if found is None:
                raise ValueError(f"callbacks.patients.pattern={self.pattern.pattern!r} does not match the id {name}")
            groups.setdefault(found.group(1), []).append(index)
        names = sorted(groups)
        score = np.array([prob[groups[name], -1].mean() for name in names])
        return names, score, np.array([label[groups[name][0]] for name in names])
