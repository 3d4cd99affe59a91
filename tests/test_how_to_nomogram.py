"""The how-to of nomograms as it stands: its commands in order, then what they leave behind."""

import csv
import hashlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

import medzoo
from medzoo.evaluation.nomogram.reading import read_nomogram
from tests.conftest import ROOT

TEXT = (ROOT / "docs/how-to/nomogram.md").read_text()
SMALLER = (
    "'datamodule.phantom={normal:60,hypoplastic:30,views:2,size:64}' 'datamodule.image_size=[32,32]' "
    "trainer.max_epochs=2 'lightning_module.net={channels:[8,16,16],latent_features:16}' "
    "lightning_module.nomogram.resamples=10 "
    "trainer.check_val_every_n_epoch=2"
)


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def rows(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def run(script, folder):
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder that looks like the checkout, in which the commands have run; only the images' demo is made smaller."""
    folder = tmp_path_factory.mktemp("how_to")
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name not in ("outputs", "data", "tests"):
            (folder / entry.name).symlink_to(entry)
    (folder / "bin").mkdir()
    python = folder / "bin" / "python"
    python.write_text(
        f'#!/bin/bash\n[[ "$*" == *experiment=hlhs_demo* ]] && set -- "$@" {SMALLER}\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    for block in blocks("bash"):
        run(block, folder)
        checkpoint = folder / "outputs/hospital_a/checkpoints/best.ckpt"
        (folder / f"{len([*folder.glob('*.sum')])}.sum").write_text(hashlib.sha256(checkpoint.read_bytes()).hexdigest())
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("here", "there"), [("hospital_a", "hospital_b"), ("hearts", "hearts_b")])
def test_another_hospital_changes_nothing_of_the_nomogram(done, here, there):
    assert len({file.read_text() for file in done.glob("*.sum")}) == 1, "the checkpoint is as it was"
    own, other = done / "outputs" / here, done / "outputs" / there
    for name in ("nomogram.html", "test_5_points.csv", "test_2_odds_ratios.csv"):
        assert (own / name).read_bytes() == (other / name).read_bytes(), name
    for name in ("equation", "threshold", "probabilities hold"):
        said = [{row["what"]: row["said"] for row in rows(run / "test_0_nomogram.csv")}[name] for run in (own, other)]
        assert said[0] == said[1]
    told = [rows(run / "test_4_development_and_test.csv") for run in (own, other)]
    for before, after in zip(*told, strict=False):
        assert {name: before[name] for name in ("apparent", "corrected")}.items() <= after.items()


@pytest.mark.slow
def test_external_validation_agrees_with_other_programs(done):
    sm = pytest.importorskip("statsmodels.api")
    from sklearn.metrics import brier_score_loss, roc_auc_score

    metrics = json.loads((done / "outputs/hospital_b/metrics.json").read_text())
    cases = rows(done / "outputs/hospital_b/predictions/cases.csv")
    assert len(cases) == 426, "all of the foreign table is tested"
    truth = np.array([float(row["label"]) for row in cases])
    for name in ("nomogram", "random forest", "SVM", "MLP"):
        assert roc_auc_score(truth, [float(row[name]) for row in cases]) > 0.9, name
    prob = np.array([float(row["nomogram"]) for row in cases])
    assert metrics["test/auc"] == pytest.approx(roc_auc_score(truth, prob), abs=1e-6)
    assert metrics["test/brier"] == pytest.approx(brier_score_loss(truth, prob), abs=1e-6)
    both = sm.Logit(truth, sm.add_constant(logit(prob))).fit(disp=0)
    assert metrics["test/calibration_slope"] == pytest.approx(both.params[1], abs=1e-3)
    large = sm.GLM(truth, np.ones(len(truth)), offset=logit(prob), family=sm.families.Binomial()).fit()
    assert metrics["test/calibration_intercept"] == pytest.approx(large.params[0], abs=1e-4)
    for told in (
        f"{metrics['development/auc']:.3f}, corrected {metrics['development/auc_corrected']:.3f}",
        f"({metrics['test/auc']:.3f}, {metrics['test/auc_low']:.3f} to {metrics['test/auc_high']:.3f})",
        f"({metrics['test/calibration_slope']:.2f}, {metrics['test/calibration_slope_low']:.2f} to",
    ):
        assert told in TEXT, told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "plain", "moved"),
    [("hospital_a", "as_in_the_study.csv", "screening.csv"), ("hearts", None, "hearts_b.csv")],
)
def test_a_prediction_is_the_equation_the_axes_and_the_calculator(done, run, plain, moved):
    module = medzoo.load(done / "outputs" / run / "checkpoints/best.ckpt")
    reading = read_nomogram(module.nomogram)
    page = json.loads(
        re.search(r"application/json\">(.*?)</script>", (done / "outputs" / run / "nomogram.html").read_text())[1]
    )
    screened = rows(done / "outputs" / moved)
    studied = rows(done / "outputs" / plain) if plain else [None] * len(screened)
    shift = logit(0.00025) - logit(reading.share)
    for here, there in zip(studied, screened, strict=True):
        case = {axis.name: float(there[axis.name]) for axis in reading.nomogram.axes}
        linear = reading.model.intercept + sum(
            coefficient * case[name]
            for name, coefficient in zip(reading.model.names, reading.model.coefficients, strict=True)
        )
        points = sum(reading.nomogram.points(case).values())
        assert float(there["total_points"]) == pytest.approx(points, abs=1e-4)
        assert page["base"] + points / page["pointsPerUnit"] == pytest.approx(linear, abs=1e-6)
        assert float(there["p_HLHS"]) == pytest.approx(expit(linear + shift), rel=1e-5)
        called = expit(linear) >= reading.thresholds["nomogram"]
        assert there["predicted"] == module.nomogram.record["classes"][int(called)]
        if here:
            assert float(here["p_HLHS"]) == pytest.approx(expit(linear), rel=1e-5)
            assert {**here, "p_HLHS": 0, "prevalence": 0} == {**there, "p_HLHS": 0, "prevalence": 0}
        outside = {axis.name for axis in reading.nomogram.axes if axis.outside(case[axis.name])}
        assert {text.split()[0] for text in there["warnings"].split("; ") if text} == outside
    assert len(screened) == (426 if plain else 90)


@pytest.mark.slow
def test_the_checkpoint_holds_plain_tensors(done):
    for run in ("hospital_a", "hearts"):
        file = done / "outputs" / run / "checkpoints/best.ckpt"
        assert not torch.serialization.get_unsafe_globals_in_checkpoint(file)


@pytest.mark.slow
def test_the_python_of_the_guide_runs_as_it_stands(done, monkeypatch):
    monkeypatch.chdir(done)
    said = {}
    exec(blocks("python")[-1], said)
    assert (done / "outputs/by_hand/nomogram.svg").stat().st_size > 10_000
    assert "Risk of HLHS" in (done / "outputs/by_hand/nomogram.html").read_text()
    assert {row["axis"] for row in said["points"]} == {*said["names"], "Probability"}
    assert len(said["alone"]) == len(said["together"]) == 3
    assert 0 < said["said"].probability < 1
