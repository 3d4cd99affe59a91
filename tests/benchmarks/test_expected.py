"""Expected ranges of the demos, from several seeds."""

import json
import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.tables import expected, training
from benchmarks.tables.__main__ import main
from benchmarks.tables.expected import prediction_range, with_ranges

TEXT = """\
trainer:
  max_epochs: 3

expected: # best possible 0.9
  test/auc: [0.1, 0.2] # old
  test/gain_p: [0, 0.05]
  test/cka: [0, 0.02]
"""


def test_a_range_is_the_prediction_interval_of_one_more_run():
    values = [10.0, 11.0, 12.0, 13.0, 14.0]
    # statsmodels and R write it so: mean ± t * sqrt(variance of the mean + variance)
    half = stats.t.interval(0.95, 4, scale=math.sqrt(np.var(values, ddof=1) / 5 + np.var(values, ddof=1)))[1]
    low, high = prediction_range(values)
    assert low <= 12 - half < low + 0.1
    assert high - 0.1 < 12 + half <= high


def test_one_more_run_is_inside_as_often_as_said():
    rng = np.random.default_rng(0)
    runs = rng.normal(100, 10, (2000, 6))
    inside = [low <= run[5] <= high for run in runs for low, high in [prediction_range(run[:5])]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_a_range_is_never_narrower_than_what_machines_differ_by_and_ends_at_0_and_1():
    assert prediction_range([0.5] * 5) == (0.49, 0.51)
    assert prediction_range([50.0] * 5) == (49.0, 51.0)
    assert prediction_range([0.99, 1.0, 1.0, 0.98, 1.0])[1] == 1
    assert prediction_range([0.0, 0.01, 0.0, 0.01, 0.0])[0] == 0
    assert prediction_range([0.0] * 5) == (0, 0)
    assert prediction_range([1.5, 0.5, 1.0])[1] > 1


def test_ranges_are_written_and_all_else_stays():
    text = with_ranges(TEXT, {"test/auc": [0.80, 0.82, 0.84], "test/cka": [0.01, 0.011, 0.012]})
    before, after = TEXT.splitlines(), text.splitlines()
    assert [one for one, other in zip(before, after, strict=True) if one != other] == [before[4], before[6]]
    low, high = prediction_range([0.80, 0.82, 0.84])
    assert after[4] == f"  test/auc: [{low:g}, {high:g}] # 0.820 ± 0.020"
    for metric in ("test/acc", "test/au"):
        with pytest.raises(ValueError, match="on one line of the experiment's YAML, found 0"):
            with_ranges(TEXT, {metric: [1.0, 2.0, 3.0]})


@pytest.fixture
def demo(tmp_path, monkeypatch):
    """A copy of the demos whose training writes numbers; returns the file of one."""
    file = tmp_path / "experiment" / "nomogram_demo.yaml"
    file.parent.mkdir()
    file.write_text((expected.CONF / "experiment" / file.name).read_text())
    monkeypatch.setattr(expected, "CONF", tmp_path)

    def train(job, at_once):
        job.folder.mkdir(parents=True)
        names = ("auc", "auc_corrected", "brier_corrected", "calibration_slope_corrected")
        values = {f"development/{name}": 0.4 + int(job.words[-1][-1]) / 50 for name in names}
        values["development/brier_corrected"] = 0.1
        (job.folder / "metrics.json").write_text(json.dumps(values))
        return 1.0

    monkeypatch.setattr(training, "_train", train)
    return file


def test_the_ranges_of_a_demo_are_rebuilt(demo, tmp_path, capsys):
    call = ["expected", "nomogram_demo", "--runs", str(tmp_path / "runs")]
    before = demo.read_text()
    assert main([*call, "--only-write"]) == 1
    assert demo.read_text() == before
    assert main(call) == 0
    low, high = prediction_range([0.42, 0.44, 0.46, 0.48, 0.5])
    assert f"  development/auc: [{low:g}, {high:g}] # 0.460 ± 0.032\n" in demo.read_text()
    said = capsys.readouterr().out
    assert "development/auc: [0.93, 0.955] was expected" in said
    kept = next(line for line in before.splitlines() if "brier_corrected" in line)
    assert kept in demo.read_text().splitlines(), "no seed changes it"
    assert "is left, since it is 0.1 with every seed" in said


def test_what_cannot_be_rebuilt_is_told(demo, tmp_path, capsys):
    for words, said in (
        (["hemxp_demo"], "no experiment 'hemxp_demo'"),
        (["nomogram_demo", "--seeds", "1,2"], "a range needs three or more"),
    ):
        assert main(["expected", *words, "--runs", str(tmp_path)]) == 2
        assert said in capsys.readouterr().err
