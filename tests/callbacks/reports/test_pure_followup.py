"""The report of follow-up forecasts as a function: a forecast that is right beats the baselines."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from medzoo.callbacks.reports.followup.report import FollowupReport, Followups
from medzoo.evaluation.regression.growth import fit_growth
from medzoo.evaluation.scores.followup_baselines import fit_baselines

RNG = np.random.default_rng(0)
BEFORE = RNG.uniform(5, 40, 30)
AFTER = BEFORE * np.where(np.arange(30) % 3 == 0, 1.8, 1.02)


def outlook(probability, stable):
    return {"probability": probability, "stable": stable, "expanding": stable + 10}


def row(index):
    samples = AFTER[index] + np.array([-1.0, 0.0, 1.0])
    known = {"dice_iph": 0.8, "dice_ivh": np.nan, "ssim": 0.9, "midline_mm": 1.0, "midline_error_mm": 0.5}
    known |= {"volume_similarity": 0.9, "slice_difference": 2.0, "slice_dice": 0.9}
    return {
        "id": f"p{index:02d}",
        "hospital": "A",
        "label": int(index % 3 == 0),
        "probability": 0.5,
        "clinical": np.array([BEFORE[index] / 50, 0.5]),
        "signs": np.array([index / 30]),
        "baseline_ml": BEFORE[index],
        "followup_ml": AFTER[index],
        "baseline_ivh_ml": 0.0,
        "followup_ivh_ml": 0.0,
        "samples": samples,
        "sampled": samples + 1,
        "ivh_samples": np.zeros(3),
        "weights": np.full(3, 1 / 3),
        "effects": {"Age": {50: outlook(0.2, AFTER[index]), 70: outlook(0.4, AFTER[index] + 2)}},
        "outlook": outlook(0.2, AFTER[index]),
        "real_slice_difference": 2.0,
        "real_slice_dice": 0.9,
        **known,
    }


def test_metrics_tables_and_figures():
    rows = [row(index) for index in range(30)]
    baselines = fit_baselines(np.stack([each["clinical"] for each in rows]), BEFORE, AFTER)
    changed = {None: 0.0, 50.0: 0.0, 70.0: 4.0}
    data = SimpleNamespace(
        phantom=True,
        signs_act=False,
        clinical_names=["volume", "Age"],
        clinical_ranges=[[0, 50], [0, 100]],
        true_followup_volumes=lambda clinical, count, do=None, seen=None: (
            AFTER[:, None] + changed[(do or {}).get("Age")]
        ),
    )
    report = FollowupReport(resamples=20).report(Followups(rows, [], baselines), data)
    found = {name.removeprefix("test/"): value for name, value in report.metrics.items()}
    assert found["volume_mae_ml"] == pytest.approx(0, abs=1e-9)
    assert found["expansion_auc"] == 1
    assert found["ceiling_crps"] == pytest.approx(0, abs=1e-9)
    assert found["crps"] < found["best_baseline_crps"]
    assert found["effect/Age"] == pytest.approx(2 + 0.2 * 10)
    assert found["effect_growth/Age"] == pytest.approx(2)
    assert found["effect_risk/Age"] == pytest.approx(0.2 * 10)
    assert found["true_effect/Age"] == pytest.approx(4)
    assert found["effect_table/Age"] == pytest.approx(0, abs=0.01), "everybody has the same age: it says nothing"
    assert found["effect_ratio/Age"] == pytest.approx(1)
    assert found["dice_ivh_scored"] == 0
    assert report.tables["test_forecasts.csv"][0]["name"] == "this model"
    patient = report.tables["predictions/test.csv"][0]
    assert float(patient["mean_ml"]) == pytest.approx(AFTER[0], rel=1e-3)
    assert [*json.loads(patient["effects_ml"])["Age"]] == ["50", "70"]
    assert {*report.figures} == {"forecasts", "crps", "pit", "expansion_roc"}


def test_the_table_tells_what_the_scan_and_the_calibration_add():
    rows = [row(index) for index in range(30)]
    clinical, signs = (np.stack([each[name] for each in rows]) for name in ("clinical", "signs"))
    expanded = (AFTER - BEFORE >= 6).astype(int)
    growth = fit_growth(np.c_[clinical, signs], np.log(AFTER / BEFORE), expanded)
    growth |= {"share": np.array([0.25, 0.5]), "spread": np.ones(2)}
    baselines = fit_baselines(clinical, BEFORE, AFTER)
    asked = []

    def true_followup_volumes(clinical, count, do=None, seen=None):
        asked.append(None if seen is None else len(seen))
        return AFTER[:, None] + 0.0

    known = {"clinical_names": ["volume", "Age"], "clinical_ranges": [[0, 50], [0, 100]]}
    data = SimpleNamespace(phantom=True, signs_act=True, true_followup_volumes=true_followup_volumes, **known)
    report = FollowupReport(resamples=20).report(Followups(rows, [], baselines, growth, signs=True), data)
    names = [each["name"] for each in report.tables["test_forecasts.csv"]]
    assert names[:4] == [
        *("this model", "this model, not calibrated"),
        *("causal model (ceiling)", "causal model, table alone"),
    ]
    assert names[-1] == "risk and growth regression with the scan's signs"
    assert asked[:2] == [30, None], "with the scan, and without"
    assert report.metrics["test/share_stable"] == 0.25
    assert report.metrics["test/best_table_crps"] >= report.metrics["test/best_baseline_crps"]
