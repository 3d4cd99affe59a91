"""From scores of slices to scores of patients, at the threshold that the module brings."""

from pathlib import Path
from typing import Any

import lightning as L
import torch

from medzoo.callbacks.collect import CollectPredictions, data_of
from medzoo.callbacks.output import save_figures, write_csv
from medzoo.evaluation.figures import decision_figure, expansion_roc_figure
from medzoo.evaluation.scores.by_patient import patient_scores
from medzoo.evaluation.scores.diagnostic import calibration_line, delong, rates

__all__ = ["PatientScores"]

_RATES = ("sensitivity", "specificity", "ppv", "npv", "accuracy", "f1")


class PatientScores(CollectPredictions):
    """A patient's score is the mean probability of the last class over the patient's slices.

    Patients and threshold are those of the module's `patients`, chosen on the validation patients. Logs
    `test/patient_auc` with DeLong's 95% interval, the rates at that threshold, `test/patient_brier` and calibration.
    Writes `test_patients.csv` (rates with Wilson's intervals) and `predictions/patients.csv`, and draws the ROC and the
    decision curve.

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

    def finish(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str, collected: dict[str, Any]) -> None:
        """Score, log, write and draw."""
        if stage != "test":
            return
        module: Any = pl_module
        pattern, threshold = module.patients.pattern, float(module.patients.value)
        names, score, label = patient_scores(collected["id"], collected["prob"], collected["label"], pattern)
        positive = label == 1
        area, called = delong(positive, score), rates(positive, score >= threshold)
        numbers = {name: area[name] for name in ("auc", "auc_low", "auc_high")}
        numbers |= {name: called[name] for name in _RATES} | calibration_line(positive, score)
        numbers["threshold"] = threshold
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
        classes = data_of(trainer).class_names
        figures = {
            "patients_roc": expansion_roc_figure(
                label, {"patients": score}, resamples=self.resamples, what=str(classes[-1])
            ),
            "patients_decision": decision_figure(positive, score),
        }
        save_figures(trainer, figures)
