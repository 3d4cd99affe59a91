"""Tables of the cards: what is trained, what is computed of it, and what is written."""

import json
import re
from statistics import mean, stdev

import medmnist
import numpy as np
import pytest
import yaml

from benchmarks.tables import __main__ as command
from benchmarks.tables import card, description, training
from benchmarks.tables.__main__ import main
from benchmarks.tables.cells import ensemble, mean_and_sd, value_of
from benchmarks.tables.description import Table, known, read_table
from benchmarks.tables.text import markdown, markers, numbers
from benchmarks.tables.training import Job, job_of, train_missing
from medzoo.runtime.composing.resolvers import register_resolvers
from tests.conftest import ROOT, SMALL

PAGE = "before\n<!-- table: fake -->\nold\n<!-- /table -->\nafter\n"
FAKE = {
    "label": ["data", "setting"],
    "columns": {"AUC": "test/auc", "ACC": "test/acc"},
    "digits": {"ACC": 2},
    "runs": {"plain": ["experiment=medmnist_classification_demo"], "other": ["experiment=medmnist_breast_demo"]},
    "rows": [
        {"label": ["phantoms", "plain"], "run": "plain"},
        {"label": ["phantoms", "pixels | all"], "run": "other", "show": "interval", "metrics": {"ACC": "test/auc"}},
        {"label": ["phantoms", "a paper"], "published": {"AUC": 0.9}},
    ],
}


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A table `fake` and its card in a folder of their own; returns the card."""
    page = tmp_path / "card.md"
    page.write_text(PAGE)
    (tmp_path / "fake.yaml").write_text(yaml.safe_dump({"card": str(page), **FAKE}, sort_keys=False))
    monkeypatch.setattr(description, "FOLDER", tmp_path)
    return page


@pytest.fixture
def trained(monkeypatch):
    """Training writes numbers made of the seed; returns the words of what was trained."""
    words = []

    def train(job, at_once):
        words.append(job.words)
        seed = int(job.words[-1].removeprefix("seed="))
        job.folder.mkdir(parents=True)
        values = {"test/auc": 0.8 + seed / 100, "test/acc": 0.7, "test/auc_low": 0.75, "test/auc_high": 0.85}
        (job.folder / "metrics.json").write_text(json.dumps({**values, "fit/minutes": 1.0 * seed}))
        facts = "commit: 0123456789abcdef\nsystem: Linux x86_64, 2 CPUs, GPUs: none\npackages:\n  torch==2.15.0\n"
        (job.folder / "environment.txt").write_text(facts)
        return float(seed)

    monkeypatch.setattr(training, "_train", train)
    return words


def test_a_table_is_trained_once_and_written_between_its_markers(fake, trained, tmp_path, capsys):
    call = ["fake", "--runs", str(tmp_path / "runs")]
    assert main(call) == 0
    assert len(trained) == 6, "five seeds of one setting, the first alone of the other"
    said = capsys.readouterr().out
    assert ": train.py experiment=medmnist_classification_demo seed=1: done, 1.0 minutes; about" in said
    assert [line[:6] for line in said.splitlines()[:6]] == [f"{n} of 6" for n in range(1, 7)]

    text = fake.read_text()
    assert text.startswith("before\n<!-- table: fake -->\n")
    assert text.endswith("<!-- /table -->\nafter\n")
    assert "| data | setting | AUC | ACC | minutes |" in text
    assert "| phantoms | plain | 0.830 ± 0.016 | 0.70 ± 0.00 | 3.0 |" in text
    assert "| phantoms | pixels \\| all | 0.810 (0.750 to 0.850) | 0.810 (0.750 to 0.850) | 1.0 |" in text
    assert "| phantoms | a paper | 0.900 |  |  |" in text
    for part in ("over seeds 1 to 5", "`python -m benchmarks.tables fake`: 16 minutes for 6 runs", "commit 0123456"):
        assert part in text
    assert "Linux x86_64, 2 CPUs, GPUs: none, torch 2.15.0" in text

    assert main([*call, "--only-write"]) == main(call) == 0
    assert len(trained) == 6, "what is finished is not trained again"
    assert fake.read_text() == text


def test_a_row_may_name_what_its_metrics_are_of_and_be_the_same_for_every_seed(fake, trained, tmp_path, capsys):
    columns = {"AUC": "test/{row}", "ACC": "test/acc"}
    row = {"label": ["phantoms", "plain"], "run": "plain", "row": "acc", "show": "same"}
    described = {"card": str(fake), **FAKE, "columns": columns, "digits": {}, "rows": [row]}
    call = ["fake", "--runs", str(tmp_path / "runs")]
    (tmp_path / "fake.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    assert main(call) == 0
    assert "| phantoms | plain | 0.700 | 0.700 |  |" in fake.read_text()
    assert "What no seed changes without ±" in fake.read_text()
    row["row"] = "auc"
    (tmp_path / "fake.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    assert main(call) == 2
    assert "test/auc: expected the same value of every seed" in capsys.readouterr().err


def test_other_seeds_are_told(fake, trained, tmp_path):
    assert main(["fake", "--runs", str(tmp_path / "runs"), "--seeds", "7,9"]) == 0
    assert sorted(words[-1] for words in trained) == ["seed=7", "seed=7", "seed=9"]
    assert "over seeds 7, 9" in fake.read_text()


def test_a_card_stays_as_it_is_where_runs_are_missing_or_fail(fake, tmp_path, monkeypatch, capsys):
    call = ["fake", "--runs", str(tmp_path / "runs")]
    assert main([*call, "--only-write"]) == 1
    assert "missing: python train.py experiment=medmnist_breast_demo seed=1" in capsys.readouterr().out
    monkeypatch.setattr(training, "_train", lambda job, at_once: 0.1)
    assert main(call) == 1
    assert "FAILED, see" in capsys.readouterr().out
    assert fake.read_text() == PAGE


def test_a_metric_that_is_not_there_is_told(fake, trained, tmp_path, capsys):
    text = (tmp_path / "fake.yaml").read_text().replace("ACC: test/acc", "ACC: test/kappa")
    (tmp_path / "fake.yaml").write_text(text)
    assert main(["fake", "--runs", str(tmp_path / "runs")]) == 2
    assert "no test/kappa" in capsys.readouterr().err
    assert fake.read_text() == PAGE


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": [{"label": ["a"], "run": "plain"}]}, "expected 2 labels"),
        ({"rows": [{"label": ["a", "b"]}]}, "either run or published"),
        ({"rows": [{"label": ["a", "b"], "run": "nowhere"}]}, "no run 'nowhere'"),
        ({"rows": [{"label": ["a", "b"], "published": {"F1": 1}}]}, "no column 'F1'"),
        ({"seeds": [1, 2, 3]}, "a mean needs 5 seeds or more"),
        ({"sedes": [1]}, "sedes"),
    ],
)
def test_a_wrong_description_is_told(fake, tmp_path, capsys, change, said):
    (tmp_path / "fake.yaml").write_text(yaml.safe_dump({"card": str(fake), **FAKE, **change}, sort_keys=False))
    assert main(["fake"]) == 2
    assert said in capsys.readouterr().err


def test_a_wrong_name_is_told(fake, capsys):
    assert main(["faek"]) == 2
    assert "no table 'faek'; choose from fake" in capsys.readouterr().err
    assert main(["fake", "other", "more"]) == 2
    assert main([]) == 0
    assert "fake: " in capsys.readouterr().out


def test_the_folder_of_a_run_is_named_by_its_settings(tmp_path):
    register_resolvers()
    first = job_of(["experiment=nomogram_demo"], 1, tmp_path)
    assert re.fullmatch(r"nomogram_demo/seed_1_[0-9a-f]{8}", first.folder.relative_to(tmp_path).as_posix())
    assert job_of(["experiment=nomogram_demo", "workers=0"], 1, tmp_path).folder == first.folder, "how, not what"
    for words in (["trainer.max_epochs=3"], ["stages.penalty.lightning_module.mi_weight=0"]):
        experiment = "experiment=medmnist_cvae_demo"
        one, other = job_of([experiment], 1, tmp_path), job_of([experiment, *words], 1, tmp_path)
        assert one.folder != other.folder


def test_an_ensemble_scores_as_the_evaluator_of_medmnist(tmp_path):
    rng = np.random.default_rng(0)
    label = np.array([0, 1] * 78)
    label[:30] = 1
    prob = [np.clip(0.5 + 0.2 * (label - 0.5) + rng.normal(0, 0.2, 156), 0.01, 0.99).round(6) for _ in range(3)]
    for number, each in enumerate(prob):
        rows = [
            f"{i},{one:.6f},{1 - one:.6f},{'yes' if a else 'no'}"
            for i, (one, a) in enumerate(zip(each, label, strict=True))
        ]
        file = tmp_path / str(number) / "predictions" / "test.csv"
        file.parent.mkdir(parents=True)
        file.write_text("\n".join(["id,p_yes,p_no,label", *rows]))
    found = ensemble([tmp_path / str(number) for number in range(3)])

    averaged = np.mean(prob, axis=0)
    evaluator = medmnist.Evaluator.__new__(medmnist.Evaluator)
    evaluator.labels, evaluator.info = label[:, None], {"task": "binary-class"}
    evaluator.flag, evaluator.split, evaluator.size_flag = "breastmnist", "test", ""
    scores = evaluator.evaluate(np.stack([1 - averaged, averaged], 1))
    assert found["test/auc"] == pytest.approx(scores.AUC)
    assert found["test/acc"] == pytest.approx(scores.ACC)
    assert found["test/auc_low"] < found["test/auc"] < found["test/auc_high"]

    other = tmp_path / "2" / "predictions" / "test.csv"
    other.write_text(other.read_text().replace("\n5,", "\n500,"))
    with pytest.raises(ValueError, match="the same cases"):
        ensemble([tmp_path / "0", tmp_path / "2"])


def test_a_number_is_found_in_a_table_of_the_run(tmp_path):
    (tmp_path / "table.csv").write_text("name,auc,acc\nHCR,0.7,\npixels,0.8,0.6\n")
    job = Job(("experiment=nomogram_demo",), tmp_path)
    assert value_of(job, "table.csv#pixels#auc") == 0.8
    for metric in ("table.csv#PCA#auc", "table.csv#HCR#acc", "table.csv#HCR#f1", "none.csv#HCR#auc", "test/auc"):
        with pytest.raises(ValueError, match=f"no {metric}"):
            value_of(job, metric)


def test_a_module_is_run_in_place_of_train(tmp_path):
    register_resolvers()
    words = ["experiment=nomogram_demo"]
    job = job_of(["-m benchmarks.pixel_forest", *words], 2, tmp_path)
    assert job.command == ["python", "-m", "benchmarks.pixel_forest", *words, "seed=2"]
    assert job_of(words, 2, tmp_path).command == ["python", "train.py", *words, "seed=2"]
    own, other = job.folder.name, job_of(words, 2, tmp_path).folder.name
    assert own == f"pixel_forest_{other}"


def test_numbers_are_written_as_tables_write_them():
    values = [0.81, 0.82, 0.85]
    assert mean_and_sd([float("nan")] * 3, 2) == ""
    assert mean_and_sd(values, 3) == f"{mean(values):.3f} ± {stdev(values):.3f}" == "0.827 ± 0.021"
    assert mean_and_sd([0.5], 2) == "0.50"
    assert [numbers(each) for each in ((1, 2, 3), (1, 3), (4,), (1, 2))] == ["1 to 3", "1, 3", "4", "1, 2"]
    assert markdown([["a", "|r|"], ["1", "2"]]) == "| a | \\|r\\| |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize("name", known())
def test_a_table_of_the_docs_has_its_place_and_its_runs_compose(name, tmp_path):
    register_resolvers()
    table = read_table(name)
    begin, end = markers(name)
    page = (description.ROOT / table.card).read_text()
    assert page.count(begin) == 1
    assert end in page.partition(begin)[2]
    for _, words, seed in table.jobs():
        job_of(words, seed, tmp_path)


def test_every_place_in_the_docs_has_its_table():
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    assert {name for page in pages for name in re.findall(r"<!-- table: (\w+) -->", page.read_text())} == {*known()}


@pytest.mark.slow
def test_a_real_run_is_trained_resumed_and_shown(tmp_path, capsys):
    register_resolvers()
    words = [*SMALL, f"datamodule.root={tmp_path / 'data'}"]
    job, broken = job_of(words, 1, tmp_path), job_of([*words, "datamodule.batch_size=-1"], 1, tmp_path)
    assert train_missing([job, broken, job], 2) == [broken]
    assert {"test/auc", "fit/minutes"} <= job.metrics.keys()
    assert "error: " in broken.folder.with_name(f"{broken.folder.name}.log").read_text()
    found = ensemble([job.folder])
    assert found["test/auc"] == pytest.approx(job.metrics["test/auc"], abs=1e-5), "of one run, its own"
    assert found["test/acc"] == pytest.approx(job.metrics["test/acc"], abs=1e-6)
    (job.folder / "metrics.json").unlink()
    assert train_missing([job]) == [], "continues in the folder of the interrupted run"
    assert "torch " in card.facts_of([job.folder])
    assert command.RUNS.parts[-2:] == ("outputs", "tables")
    assert Table.model_validate({"card": "x", **FAKE}).seeds == (1, 2, 3, 4, 5)


def test_other_expected_ranges_are_no_other_run(tmp_path):
    register_resolvers()
    for experiment, place in (("nomogram_demo", ""), ("hemexp_demo", "stages.diffusion.")):
        words = [f"experiment={experiment}"]
        one, other = (
            job_of([*words, *more], 1, tmp_path) for more in ([], [f"++{place}expected={{test/auc: [0, 1]}}"])
        )
        assert one.folder == other.folder
