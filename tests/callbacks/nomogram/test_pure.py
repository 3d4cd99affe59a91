"""The report of a nomogram as a function of a study: no Trainer, no module, no file."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medzoo.callbacks.nomogram.report import Judged, NomogramReport
from medzoo.callbacks.nomogram.study import Study
from medzoo.evaluation.nomogram.reading import Reading
from medzoo.evaluation.nomogram.scale import nomogram_of
from medzoo.evaluation.nomogram.study import judge
from medzoo.evaluation.regression.logistic import fit_logistic

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
POSITIVE = X[:, 0] + RNG.normal(size=60) > 0
FIT = fit_logistic(X, POSITIVE, ["size", "age"])
RECORD = {
    "classes": ["healthy", "HLHS"],
    "titles": {},
    "names": ["size", "age"],
    "odds": [{"model": "alone", "predictor": "size"}],
    "cases": [{"variable": "cases (n)", "train, healthy": "30"}, {"variable": "size", "train, healthy": "0 (1)"}],
    "optimism": [{"measure": "auc", "apparent": 0.8, "corrected": 0.75}],
    "counts": {"train": [60, 30]},
    "notes": ["few events"],
    "settings": {"folds": 5, "seed": 0, "draws": 0},
    "candidates": [],
    "gaps": 0,
    "missing": "refuse",
    "method": "ml",
}
READING = Reading(FIT, nomogram_of(FIT, X), 0.5, {"nomogram": 0.5}, RECORD)


@pytest.fixture
def report():
    table = SimpleNamespace(names=[f"c{k}" for k in range(60)], positive=POSITIVE, x=X, candidates={}, readers={})
    probabilities = {"nomogram": FIT.predict(X)}
    numbers = judge(POSITIVE, probabilities, READING.thresholds)
    study = Study(READING, table, probabilities, numbers, own=False)
    judged = Judged(study, ["a note"], {"preparation": "none", "model": ""})
    return NomogramReport().report(judged, SimpleNamespace(phantom=False))


def test_metrics_are_those_of_the_test_and_of_the_development(report):
    assert report.metrics["test/auc"] == pytest.approx(roc_auc_score(POSITIVE, FIT.predict(X)))
    assert report.metrics["development/auc_corrected"] == 0.75


def test_tables_and_the_calculator_hold_the_equation(report):
    short = {row["what"]: row["said"] for row in report.tables["test_0_nomogram.csv"]}
    assert short["equation"].startswith("logit P(HLHS) = ")
    assert "60 cases" in short["tested on"]
    items = {row["item"]: row["said"] for row in report.tables["test_6_TRIPOD_AI.csv"]}
    assert items["22."] == short["equation"]
    assert len(report.tables["predictions/cases.csv"]) == 60
    assert "<svg" in report.pages["nomogram.html"] or "<script" in report.pages["nomogram.html"]
    assert report.vectors == ["nomogram"]
    assert {*report.figures} == {"nomogram", "models_roc", "calibration", "decision"}


def test_without_test_cases_the_development_is_the_result():
    judged = Judged(Study(READING, None, {}, {}, own=True), [], {"preparation": "none", "model": ""})
    report = NomogramReport().report(judged, SimpleNamespace(phantom=True))
    assert {*report.metrics} == {"development/auc", "development/auc_corrected"}
    assert "predictions/cases.csv" not in report.tables
    assert {*report.figures} == {"nomogram"}
