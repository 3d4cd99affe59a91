import csv
from functools import partial

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from medzoo.callbacks import PatientScores
from medzoo.datamodules import HematomaSlicesDataModule
from medzoo.evaluation.scores.diagnostic import delong
from medzoo.lightning_modules import ClassificationModule
from medzoo.models import ClassificationLoss

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


@pytest.fixture
def tested(tmp_path):
    for split, classes in GREY.items():
        for name, patients in classes.items():
            folder = tmp_path / "set" / split / name
            folder.mkdir(parents=True)
            for number, greys in enumerate(patients):
                for slice_name, grey in zip(("up", "max", "low"), greys, strict=True):
                    picture = np.full((8, 8), grey, np.uint8)
                    Image.fromarray(picture).save(folder / f"{split}{name}{number}_{slice_name}.png")
    data = HematomaSlicesDataModule(tmp_path / "set", image_size=8, batch_size=4)
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


def expected_score(greys):
    return np.mean([1 / (1 + np.exp(-2 * (grey / 255 - 0.5) / 0.5)) for grey in greys])


def test_a_patient_has_the_mean_of_its_slices(tested):
    said, _, run = tested
    with (run / "predictions" / "patients.csv").open() as opened:
        rows = {row["id"]: (float(row["score"]), int(row["label"])) for row in csv.DictReader(opened)}
    assert len(rows) == 5
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


def test_without_patients_it_says_what_it_needs(tmp_path):
    module = ClassificationModule(
        Brightness(), ClassificationLoss("binary"), torch.optim.Adam, task="binary", num_classes=2
    )
    with pytest.raises(ValueError, match=r"needs lightning_module\.patient"):
        PatientScores().setup(L.Trainer(accelerator="cpu", **QUIET), module, "test")
