import csv
from functools import partial
from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from medzoo.callbacks import PatientScores
from medzoo.callbacks.reports.patients import Patients
from medzoo.datamodules import HematomaSlicesDataModule
from medzoo.evaluation.scores.calibration import fit_calibration
from medzoo.evaluation.scores.diagnostic import delong
from medzoo.lightning_modules import ClassificationModule
from medzoo.models import ClassificationLoss
from medzoo.runtime.checkpoints.checkpoint import initialise

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
GREY = {  # by split and class, the grey values of each patient's slices
    "train": {"NHE": [(10, 10, 10), (20, 20, 20)], "HE": [(200, 200, 200), (190, 190, 190)]},
    "val": {"NHE": [(40, 60, 50), (90, 70, 80)], "HE": [(150, 130, 140), (110, 90, 100)]},
    "test": {"NHE": [(20, 30, 40), (120, 110, 130), (60, 60, 60)], "HE": [(160, 180, 170), (80, 90, 100)]},
}


class Brightness(nn.Module):
    """The log odds of expansion rise with the mean grey value."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(2.0))

    def forward(self, image):
        odds = self.gain * image.mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(odds), odds], dim=1)


class WithMissed(HematomaSlicesDataModule):
    """Two test patients in whose scans no bleed was found, one of whom expands."""

    without_image = {"missed0": 0, "missed1": 1}  # noqa: RUF012


@pytest.fixture
def tested(tmp_path):
    return run_test(tmp_path, HematomaSlicesDataModule)


def run_test(tmp_path, kind):
    for split, classes in GREY.items():
        for name, patients in classes.items():
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            for number, greys in enumerate(patients):
                for slice_name, grey in zip(("up", "max", "low"), greys, strict=True):
                    picture = np.full((8, 8), grey, np.uint8)
                    Image.fromarray(picture).save(folder / f"{split}{name}{number}_{slice_name}.png")
    data = kind(tmp_path / "set", image_size=8, batch_size=4)
    options = {"task": "binary", "num_classes": 2}
    adam = partial(torch.optim.Adam, lr=1e-3)
    module = ClassificationModule(
        Brightness(), ClassificationLoss("binary"), adam, patient=data.patient.pattern, **options
    )
    data.setup()
    module.finalize(data)
    scores = PatientScores(resamples=20)
    trainer = L.Trainer(accelerator="cpu", default_root_dir=tmp_path / "run", callbacks=[scores], **QUIET)
    trainer.test(module, data, verbose=False)
    said = {name.removeprefix("test/patient_"): float(value) for name, value in trainer.callback_metrics.items()}
    return said, module, tmp_path / "run"


def rows_of(run):
    with (run / "predictions" / "patients.csv").open() as opened:
        return {row["id"]: row for row in csv.DictReader(opened)}


def expected_score(greys):
    return np.mean([1 / (1 + np.exp(-2 * (grey / 255 - 0.5) / 0.5)) for grey in greys])


def test_a_patient_has_the_mean_of_its_slices(tested):
    said, _, run = tested
    rows = {name: (float(row["score"]), int(row["label"])) for name, row in rows_of(run).items()}
    assert len(rows) == said["count"] == 5
    assert said["without_image"] == 0
    for label, name in enumerate(("NHE", "HE")):
        for number, greys in enumerate(GREY["test"][name]):
            assert rows[f"test{name}{number}"] == (pytest.approx(expected_score(greys), abs=1e-4), label)
    score, label = map(np.array, zip(*rows.values(), strict=True))
    area = delong(label == 1, score)
    assert said["auc"] == pytest.approx(area["auc"])
    assert said["auc_low"] == pytest.approx(area["auc_low"], abs=1e-5)


def test_the_threshold_is_that_of_the_validation_patients(tested):
    said, module, run = tested
    assert (
        module.patients.value.item()
        == said["threshold"]
        == pytest.approx(expected_score(GREY["val"]["HE"][1]), abs=1e-4)
    ), "parts validation best"
    assert said["sensitivity"] == 0.5, "80 to 100 lies below it"
    assert said["specificity"] == pytest.approx(2 / 3)
    with (run / "test_patients.csv").open() as opened:
        rows = {row["rate"]: row for row in csv.DictReader(opened)}
    assert float(rows["sensitivity"]["low"]) < 0.5 < float(rows["sensitivity"]["high"])
    for name in ("patients_roc", "patients_decision"):
        assert (run / "figures" / f"{name}.png").is_file()


def test_brier_score_and_decisions_are_of_probabilities_calibrated_on_validation(tested):
    said, _, run = tested
    val = np.array([expected_score(greys) for name in ("NHE", "HE") for greys in GREY["val"][name]])
    slope, bias = fit_calibration(np.stack([1 - val, val], axis=1), np.array([0, 0, 1, 1]))
    rows = rows_of(run).values()
    score, label = (np.array([float(row[name]) for row in rows]) for name in ("score", "label"))
    expected = 1 / (1 + np.exp(-(slope * np.log(score / (1 - score)) + bias[1] - bias[0])))
    assert [float(row["probability"]) for row in rows] == pytest.approx(expected, abs=1e-4)
    assert said["brier_calibrated"] == pytest.approx(np.mean((expected - label) ** 2), abs=1e-4)
    assert said["brier"] == pytest.approx(np.mean((score - label) ** 2)), "of the scores"
    assert (np.argsort(expected) == np.argsort(score)).all(), "the ROC curve stays"


def test_patients_without_a_bleed_count_with_the_lowest_score(tmp_path, tested):
    alone, _, _ = tested
    said, _, run = run_test(tmp_path / "missed", WithMissed)
    rows = rows_of(run)
    assert {name: row["score"] for name, row in rows.items() if row["without_image"] == "1"} == {
        "missed0": "0.0",
        "missed1": "0.0",
    }
    assert (said["count"], said["without_image"]) == (7, 2)
    score, label = (np.array([float(row[name]) for row in rows.values()]) for name in ("score", "label"))
    assert said["auc"] == pytest.approx(delong(label == 1, score)["auc"])
    assert said["auc"] < alone["auc"], "a missed bleed that expands costs"
    assert said["sensitivity"] == pytest.approx(1 / 3)
    assert said["brier_calibrated"] == pytest.approx((5 * alone["brier_calibrated"] + 0 + 1) / 7, abs=1e-5)
    assert said["calibration_slope"] == pytest.approx(alone["calibration_slope"], rel=1e-3), "of those with slices"


def test_a_checkpoint_from_before_the_calibration_is_scored_without_it(tested):
    _, module, _ = tested
    weights = {name: each for name, each in module.state_dict().items() if "slope" not in name and "shift" not in name}
    old = ClassificationModule(
        Brightness(),
        ClassificationLoss("binary"),
        torch.optim.Adam,
        task="binary",
        num_classes=2,
        patient=module.patients.pattern,
    )
    initialise(old, {"state_dict": weights}, Path("best.ckpt"))
    assert float(old.patients.value) == float(module.patients.value)
    assert not old.patients.calibrated
    report = PatientScores(resamples=20)
    label = np.array([0, 1, 0, 1])
    made = report.report(Patients([*"abcd"], np.array([0.1, 0.9, 0.6, 0.4]), label, 0.5), Names())
    assert "test/patient_brier" in made.metrics
    assert "test/patient_brier_calibrated" not in made.metrics


class Names:
    class_names = ("NHE", "HE")


def test_without_patients_it_says_what_it_needs(tmp_path):
    module = ClassificationModule(
        Brightness(), ClassificationLoss("binary"), torch.optim.Adam, task="binary", num_classes=2
    )
    with pytest.raises(ValueError, match=r"needs lightning_module\.patient"):
        PatientScores().setup(L.Trainer(accelerator="cpu", **QUIET), module, "test")
