import csv
import json

import pytest

from medzoo.evaluation.figures import grid_figure
from medzoo.evaluation.figures.style import new_figure
from medzoo.runtime.output.sweep import summarise
from tests.conftest import SMALL, run_verb


def rows(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def wandb_runs(folder):
    return sorted(path.name.split("-")[-1] for path in folder.glob("wandb/offline-run-*"))


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_a_sweep_over_seeds_has_a_run_each_and_a_summary(devices, tmp_path):
    sweep = tmp_path / "sweep"
    done = run_verb(
        "train", "-m", *SMALL, "logger=default", "trainer.max_epochs=1", f"trainer.devices={devices}", "seed=1,2",
        f"datamodule.root={tmp_path}", f"hydra.sweep.dir={sweep}",
    )  # fmt: skip
    assert done.code == 0, done.output
    assert sorted(path.name for path in sweep.iterdir() if path.is_dir()) == ["0", "1"], "one folder a job"
    ids = [wandb_runs(sweep / job) for job in "01"]
    assert all(len(runs) == 1 for runs in ids)
    assert len({runs[0] for runs in ids}) == 2, "two W&B runs"
    aucs = [json.loads((sweep / job / "metrics.json").read_text())["test/auc"] for job in "01"]
    (summary,) = rows(sweep / "summary.csv")
    assert summary["runs"] == "2"
    assert float(summary["test/auc"]) == pytest.approx(sum(aucs) / 2, abs=1e-5)
    assert (sweep / "summary.png").stat().st_size > 1000


@pytest.mark.slow
def test_a_job_with_a_mistake_ends_the_sweep_with_its_message(tmp_path):
    done = run_verb(
        "train", "-m", *SMALL, "lightning_module.optimizer.lr=abc,0.1", f"datamodule.root={tmp_path}",
        f"hydra.sweep.dir={tmp_path / 'sweep'}",
    )  # fmt: skip
    assert done.code == 2
    assert "error: lightning_module.optimizer.lr: 'abc' does not fit" in done.output


def write_jobs(sweep, *jobs):
    for job, (overrides, auc) in enumerate(jobs):
        (sweep / str(job) / ".hydra").mkdir(parents=True)
        (sweep / str(job) / ".hydra" / "overrides.yaml").write_text("".join(f"- {o}\n" for o in overrides))
        if auc is not None:
            (sweep / str(job) / "metrics.json").write_text(json.dumps({"val/auc": auc}))


def test_summary_groups_by_setting_and_leaves_the_unfinished_out(tmp_path):
    write_jobs(
        tmp_path,
        (["lr=1", "seed=1"], 0.7), (["lr=1", "seed=2"], 0.9), (["lr=2", "seed=1"], 0.5), (["lr=2", "seed=2"], None),
    )  # fmt: skip
    one, two = rows(summarise(tmp_path, "val/auc"))
    assert (one["setting"], one["runs"], float(one["val/auc"])) == ("lr=1", "2", 0.8)
    assert float(one["val/auc sd"]) == pytest.approx(0.1414, abs=1e-4)
    assert (two["setting"], two["runs"], two["val/auc sd"]) == ("lr=2", "1", "")


def test_settings_come_as_the_sweep_began_them_and_are_drawn_by_the_last_part_of_their_key(tmp_path, monkeypatch):
    drawn = []

    def draw(settings, panels):
        drawn.extend(settings)
        return new_figure(1, 1)[0]

    monkeypatch.setattr("medzoo.runtime.output.sweep.sweep_figure", draw)
    write_jobs(tmp_path, *[([f"a.rate={rate}", "b.size=1", f"c.size={rate % 2}"], 0.5) for rate in range(12)])
    found = rows(summarise(tmp_path, "val/auc"))
    assert [row["setting"] for row in found] == [f"a.rate={rate}, c.size={rate % 2}" for rate in range(12)]
    assert drawn[10:] == ["rate=10, size=0", "rate=11, size=1"]


def test_a_grid_of_three_settings_is_drawn(tmp_path):
    job = 0
    for use in ("[ct]", "[ct,mr]"):
        for fusion in ("late", "cross"):
            for rate in ("0.5", "0"):
                (tmp_path / str(job) / ".hydra").mkdir(parents=True)
                words = [f"use={use}", f"fusion={fusion}", f"rate={rate}", "seed=1"]
                (tmp_path / str(job) / ".hydra" / "overrides.yaml").write_text("".join(f"- {o}\n" for o in words))
                (tmp_path / str(job) / "metrics.json").write_text(json.dumps({"test/auc": 0.6 + job / 100}))
                job += 1
    summarise(tmp_path, "val/auc", grid=["rate", "fusion", "use"])
    assert (tmp_path / "grid.png").stat().st_size > 1000


def test_the_grid_figure_shows_means_in_the_order_of_numbers():
    runs = [("0.5", "late", "a", 0.7), ("0", "late", "a", 0.8), ("0", "late", "a", 0.9), ("0.5", "cross", "b", 0.6)]
    figure = grid_figure(runs, ("rate", "fusion", "use"), "test/auc")
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("a", "b")
    line = first.containers[0].lines[0]
    assert line.get_xdata().tolist() == [0, 1]
    assert line.get_ydata().tolist() == pytest.approx([0.85, 0.7])
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["0", "0.5"]
