import json

import pytest
from matplotlib.figure import Figure

from medzoo.runtime.output import report


@pytest.fixture
def run(tmp_path):
    """A run folder with what a report needs."""
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    (tmp_path / "split.json").write_text(json.dumps({"phantom": False}))
    (tmp_path / "environment.txt").write_text("command: train.py\n")
    return tmp_path


def written(run):
    report.write(run, {"test/crps": 1.5, "test/nothing": None}, {"test/crps": [1, 2]})
    return (run / "report.html").read_text()


def test_tables_are_found_by_name_and_long_ones_folded(run):
    for name, rows in (("test_patients", 31), ("test_baselines", 30), ("other", 1)):
        lines = ["name,value", *(f"<case {index}>,{index}.25" for index in range(rows))]
        (run / f"{name}.csv").write_text("\n".join(lines) + "\n")
    page = written(run)
    assert page.index("<h2>Baselines</h2>") < page.index("<h2>Patients</h2>")
    assert page.count("<summary>31 rows</summary>") == 1
    assert "30 rows" not in page
    assert "Other" not in page
    assert "&lt;case 3&gt;" in page, "text is shown, not read as HTML"


def test_only_stages_that_were_trained_have_a_section(run):
    (run / "config.yaml").write_text("stages: {given: {}, trained: {}, last: {}}\n")
    for name in ("trained", "last"):
        (run / name).mkdir()
        (run / name / "metrics.json").write_text(json.dumps({"test/loss": 0.125}))
    page = written(run)
    assert "Stage given" not in page
    assert page.index("Stage trained") < page.index("0.125") < page.index("Stage last")
    assert page.count("0.125") == 1, "the last stage's metrics are those of the run"
    assert "1 to 2" in page
    report.write(run, {"trained/test/loss": 0.375}, {"trained/test/loss": [0.3, 0.4]})
    assert "0.375" in (run / "report.html").read_text(), "a range may be stated of any stage"


def test_metrics_with_a_stated_range_are_open_and_the_others_folded(run):
    report.write(run, {"test/crps": 1.5, "test/auc": 0.5}, {"test/crps": [1, 2]})
    page = (run / "report.html").read_text()
    opened, folded = page.split("<summary>Other metrics</summary>")
    assert "test/crps" in opened
    assert "test/auc" not in opened
    assert "test/auc" in folded


def test_curves_of_steps_are_drawn_where_epochs_are_too_few(run, monkeypatch):
    drawn = {}
    monkeypatch.setattr(report, "training_figure", lambda curves: drawn.update(curves) or Figure())
    lines = ["step,epoch,train/loss,train/loss_step,train/kl_step,val/loss,test/loss"]
    (run / "metrics.csv").write_text("\n".join([*lines, "1,0,,3,9,,", "2,0,2,1,9,4,", "2,,,,,,7"]) + "\n")
    report.write(run, {}, {})
    assert drawn == {"train/loss": ([2], [2]), "train/loss_step": ([1, 2], [3, 1]), "val/loss": ([2], [4])}


def test_a_mean_of_nothing_is_null_in_the_metrics(run):
    report.finish(run, {"test/dice": float("nan"), "test/scored": 0}, {"test/dice": [0.8, 0.9]})
    assert json.loads((run / "metrics.json").read_text()) == {"test/dice": None, "test/scored": 0}
