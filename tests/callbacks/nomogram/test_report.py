"""The HLHS nomogram from images to report, on small phantoms; and that labels do not leak on the way."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

import medzoo
from medzoo.evaluation.regression.learners.comparators import learners
from tests.conftest import call_verb, run_verb
from tests.evaluation.figures.test_nomogram_figures import run_in_browser

SMALL = [
    "experiment=hlhs_demo",
    "datamodule.phantom={normal:60,hypoplastic:30,views:2,size:64}",
    "datamodule.image_size=[32,32]",
    "lightning_module.net={channels:[8,16,16],latent_features:16}",
    "lightning_module.nomogram.resamples=10",
    "trainer.max_epochs=4",
    "trainer.check_val_every_n_epoch=2",
    "logger=csv_only",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hlhs")
    done = run_verb("train", *SMALL, f"datamodule.root={folder / 'data'}", f"hydra.run.dir={folder / 'run'}")
    assert done.code == 0, done.output
    return folder / "run"


def rows(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.mark.slow
def test_a_run_leaves_figures_tables_calculator_and_summary(run):
    judged = {"nomogram", "models_roc", "calibration", "decision"}
    names = judged | {"gradcam", "score_traversal", "reconstruction", "traversal", "training"}
    page = (run / "report.html").read_text()
    for name in names:
        assert (run / "figures" / f"{name}.png").stat().st_size > 5_000, name
        assert f"alt='{name}' src='data:image/png;base64," in page, name
    assert {file.stem for file in (run / "figures").glob("*.png")} == names
    assert "<svg" in (run / "figures" / "nomogram.svg").read_text()
    assert '<section class="nomogram"' in page
    assert "not provided" in page
    models = [row["model"] for row in rows(run / "test_3_models_and_readers.csv")]
    assert models[0] == "nomogram"
    assert {"clinical regression", "image score", *learners([]), "reader, 10 years"} <= {*models}
    assert {row["model"] for row in rows(run / "test_2_odds_ratios.csv")} == {"alone", "together"}
    assert {"test/auc", "test/auc_gain_p", "test/ceiling_auc", "test/ssim"} <= {
        *json.loads((run / "metrics.json").read_text())
    }


@pytest.mark.slow
def test_thresholds_and_equation_are_those_of_the_table(run):
    said = {row["item"]: row["said"] for row in rows(run / "test_6_TRIPOD_AI.csv")}
    assert said["22."].startswith("logit P(HLHS) = ")
    threshold = rows(run / "test_3_models_and_readers.csv")[0]["threshold"]
    assert f"{float(said['15.'].split(':')[0]):.3f}" == threshold
    probability = [float(row["nomogram"]) for row in rows(run / "predictions" / "cases.csv")]
    assert len(probability) == 45
    assert 0 < min(probability) < max(probability) < 1


@pytest.mark.slow
def test_figures_calculator_and_table_say_the_same_of_every_test_case(run, tmp_path):
    """The calculator of the report, run in a browser, against the probabilities of the fitted model."""
    cases = rows(run / "predictions" / "cases.csv")
    names = ("LV_diameter", "LA_RA_area_ratio", "LV_RV_area_ratio", "image_score")
    values = [[float(case[name]) for name in names] for case in cases]
    page = (run / "nomogram.html").read_text()
    assert "LA/RA area ratio" in page
    assert page in (run / "report.html").read_text()
    *said, _ = run_in_browser(page, values, tmp_path)
    for case, (_, probability, *_) in zip(cases, said, strict=True):
        assert float(probability) == pytest.approx(float(case["nomogram"]), abs=1e-6)


@pytest.mark.slow
def test_the_checkpoint_keeps_the_score_and_predicts_it(run, tmp_path):
    module = medzoo.load(run / "checkpoints" / "best.ckpt")
    assert module.score.weight.abs().sum() > 0
    images = run.parent / "data" / "fetal_heart_60_30_2x64_seed0" / "images"
    said = medzoo.predict(run / "checkpoints" / "best.ckpt", images / "H0000_0.png", accelerator="cpu")
    assert said[0]["score"].shape == (1,)
    assert torch.isfinite(said[0]["score"]).all()
    command = [f"ckpt_path={run / 'checkpoints' / 'best.ckpt'}", f"input={images}", f"output={tmp_path / 'p.csv'}"]
    assert call_verb("predict", *command, "trainer.accelerator=cpu").code == 0
    assert len(rows(tmp_path / "p.csv")) == 180
    assert [*rows(tmp_path / "p.csv")[0]] == ["id", "score"], "without a table of cases there is no probability"


@pytest.mark.slow
def test_shuffled_labels_give_nothing_through_the_whole_pipeline(run, tmp_path):
    """Of cohorts with labels of chance, the nomogram, the score and every learner are right as often as a coin."""
    own = shutil.copytree(run.parent / "data" / "fetal_heart_60_30_2x64_seed0", tmp_path / "own")
    (own / "readers.csv").unlink()
    table = rows(own / "cases.csv")
    areas = []
    for seed in range(2):
        labels = np.random.default_rng(seed).permutation([row["label"] for row in table])
        with (own / "cases.csv").open("w", newline="") as opened:
            writer = csv.DictWriter(opened, list(table[0]))
            writer.writeheader()
            writer.writerows({**row, "label": label} for row, label in zip(table, labels, strict=True))
        folder = tmp_path / f"run{seed}"
        given = [f"datamodule.root={own}", "datamodule.phantom=null", "datamodule.smaller_in_positive=null"]
        done = run_verb("train", *SMALL, *given, f"hydra.run.dir={folder}", "datamodule.test_share=0.6")
        assert done.code == 0, done.output
        found = rows(folder / "test_3_models_and_readers.csv")
        areas.append([float(row["AUC (95% CI)"][:5]) for row in found])
    mean = np.mean(areas, axis=0)
    assert (np.abs(mean - 0.5) < 0.2).all(), mean
    assert abs(mean.mean() - 0.5) < 0.12, mean


def test_what_does_not_fit_is_told_before_training(tmp_path):
    base = [*SMALL, f"datamodule.root={tmp_path}", f"hydra.run.dir={tmp_path / 'run'}"]
    for word, told in (
        ("lightning_module.nomogram.folds=1", "folds=1 must be 2 or more"),
        ("datamodule.predictors=[LV_diameter,LV_volume]", "LV_volume: no column of"),
        ("datamodule.test_share=0.95", "leave no share for training"),
        ("lightning_module.score=best", "lightning_module.score"),
    ):
        done = call_verb("train", *base, word)
        assert done.code == 2, done.output
        assert len(done.error) == 1
        assert told in done.error[0]
