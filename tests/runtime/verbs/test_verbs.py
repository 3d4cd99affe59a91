import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

import medzoo
from medzoo.lightning_modules import ClassificationModule
from tests.conftest import ROOT, SMALL, call_verb, run_verb, train


def rows(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_run_folder_holds_what_is_promised(trained):
    names = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    assert names >= {
        "config.yaml", "metrics.json", "metrics.csv", "split.json", "environment.txt", "test_classes.csv",
        "report.html", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "predictions/test.csv",
        "figures/roc.png", "figures/confusion.png", "figures/calibration.png", "figures/training.png",
    }  # fmt: skip
    assert not [name for name in names if "partial" in name]
    metrics = json.loads((trained / "metrics.json").read_text())
    assert {"test/auc", "test/acc", "test/auc_low", "test/auc_high", "val/auc", "fit/minutes"} <= set(metrics)
    split = json.loads((trained / "split.json").read_text())
    assert split["counts"] == {"train": 48, "val": 24, "test": 24}


def test_the_report_is_one_file_that_says_phantom(trained):
    report = (trained / "report.html").read_text()
    assert "phantom images" in report
    assert report.count("data:image/png;base64,") == len(list((trained / "figures").glob("*.png")))
    assert "http://" not in report
    assert "https://" not in report.replace(str(trained), "")


@pytest.mark.slow
def test_predict_needs_the_checkpoint_alone(trained, tmp_path):
    archive = np.load(next((trained.parent / "data").glob("*.npz")))
    for index in (0, 1):
        Image.fromarray(archive["test_images"][index]).save(tmp_path / f"case_{index}.png")
    done = run_verb(
        "predict", f"ckpt_path={trained / 'checkpoints' / 'best.ckpt'}", f"input={tmp_path}",
        f"output={tmp_path / 'out.csv'}", f"datamodule.root={tmp_path / 'nowhere'}",
    )  # fmt: skip
    assert done.code == 0, done.output
    assert "was trained on phantoms" in done.output
    assert not (tmp_path / "nowhere").exists(), "training data are not fetched for a prediction"
    written = rows(tmp_path / "out.csv")
    tested = rows(trained / "predictions" / "test.csv")
    for index, row in enumerate(written):
        assert row["id"] == f"case_{index}"
        assert row["predicted"] in ("benign", "malignant")
        assert float(row["p_malignant"]) == pytest.approx(float(tested[index]["p_malignant"]), abs=1e-5)
    in_python = medzoo.predict(trained / "checkpoints" / "best.ckpt", tmp_path)
    assert in_python[0]["prob"][1, 1].item() == pytest.approx(float(written[1]["p_malignant"]), abs=1e-5)


@pytest.mark.slow
def test_evaluate_gives_the_numbers_of_the_training_run(trained, tmp_path):
    best = trained / "checkpoints" / "best.ckpt"
    done = run_verb("evaluate", f"ckpt_path={best}", f"hydra.run.dir={tmp_path / 'again'}")
    assert done.code == 0, done.output
    before, after = (json.loads((run / "metrics.json").read_text()) for run in (trained, tmp_path / "again"))
    for name in ("test/auc", "test/acc", "test/loss"):
        assert after[name] == pytest.approx(before[name], abs=1e-6)
    assert (tmp_path / "again" / "report.html").exists()


@pytest.mark.slow
def test_evaluate_takes_other_data_and_names_columns_as_the_model_does(trained, tmp_path):
    source = next((trained.parent / "data").glob("*.npz"))
    arrays = dict(np.load(source))
    for split in ("train", "val", "test"):
        arrays[f"{split}_labels"] = 1 - arrays[f"{split}_labels"]
    np.savez(tmp_path / "turned.npz", **arrays)
    best = trained / "checkpoints" / "best.ckpt"
    before = json.loads((trained / "metrics.json").read_text())
    for file, names in ((source, "benign,malignant"), (tmp_path / "turned.npz", "MALIGNANT,benign")):
        data = [
            "datamodule=npz",
            f"datamodule.file={file}",
            "datamodule.task=binary",
            f"datamodule.class_names=[{names}]",
        ]
        done = call_verb("evaluate", f"ckpt_path={best}", *data, f"hydra.run.dir={tmp_path / file.stem}")
        assert done.code == 0, done.output
        after = json.loads((tmp_path / file.stem / "metrics.json").read_text())
        assert after["test/auc"] == pytest.approx(before["test/auc"], abs=1e-6)
        table = (tmp_path / file.stem / "predictions" / "test.csv").read_text()
        assert table == (trained / "predictions" / "test.csv").read_text()


def test_data_of_other_classes_are_refused_and_listed(trained, tmp_path):
    file = next((trained.parent / "data").glob("*.npz"))
    best = trained / "checkpoints" / "best.ckpt"
    data = ["datamodule=npz", f"datamodule.file={file}", "datamodule.task=binary", "datamodule.class_names=[no,yes]"]
    done = call_verb("evaluate", f"ckpt_path={best}", *data, f"hydra.run.dir={tmp_path / 'again'}")
    told = (
        "datamodule: the model knows the classes benign, malignant, the data have no, yes: "
        "give them the names of the model, in the order of the data"
    )
    assert (done.code, done.error) == (2, [told])


@pytest.mark.slow
def test_a_calibration_is_fitted_on_validation_and_kept_in_the_checkpoint(tmp_path):
    tested = train(tmp_path / "run", "lightning_module.calibrate=true")
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    weights = torch.load(best, weights_only=True)["state_dict"]
    assert weights["calibration.slope"] != 1
    done = run_verb("evaluate", f"ckpt_path={best}", f"hydra.run.dir={tmp_path / 'again'}")
    assert done.code == 0, done.output
    again = json.loads((tmp_path / "again" / "metrics.json").read_text())
    assert again["test/acc"] == pytest.approx(tested["test/acc"], abs=1e-6)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(trained, tmp_path):
    before = json.loads((trained / "metrics.json").read_text())
    after = train(tmp_path / "again")
    assert after["test/loss"] == before["test/loss"]


@pytest.mark.slow
def test_weights_can_be_taken_into_a_new_run(trained, tmp_path):
    best = trained / "checkpoints" / "best.ckpt"
    train(tmp_path / "frozen", f"init_from={best}", "lightning_module.optimizer.lr=0", "trainer.max_epochs=1")
    before, after = (torch.load(file, weights_only=True) for file in (best, tmp_path / "frozen/checkpoints/last.ckpt"))
    for name, weight in before["state_dict"].items():
        if "running_" not in name and "num_batches" not in name:  # without a rate only batch statistics move
            assert torch.equal(weight, after["state_dict"][name]), name


@pytest.mark.slow
def test_training_can_be_gone_on_with_in_a_new_folder(tmp_path):
    train(tmp_path / "first", "lightning_module/scheduler=constant", "trainer.max_epochs=1")
    last = tmp_path / "first" / "checkpoints" / "last.ckpt"
    longer = train(tmp_path / "second", "lightning_module/scheduler=constant", f"ckpt_path={last}")
    assert (longer["fit/epochs"], longer["fit/steps"]) == (2, 12)
    logged = rows(tmp_path / "second" / "metrics.csv")
    assert {row["epoch"] for row in logged if row["epoch"]} <= {"1", "2"}, "the first epoch was not repeated"


@pytest.mark.slow
@pytest.mark.parametrize("debug", ["fast_dev_run", "overfit", "profiler", "detect_anomaly"])
def test_debug_choices_run(debug, tmp_path):
    metrics = train(tmp_path / "run", f"debug={debug}", *(["trainer.max_epochs=12"] if debug == "overfit" else []))
    if debug == "overfit":
        assert metrics["train/loss"] < 0.35, "two batches are learnt by heart"


def test_prepare_says_what_is_in_a_data_set(tmp_path):
    done = run_verb(
        "prepare", "datamodule=medmnist_phantom", "datamodule.counts=[9,4,5]", f"datamodule.root={tmp_path}",
        "datamodule.name=adrenalmnist3d", "datamodule.size=10",
    )  # fmt: skip
    assert done.code == 0, done.output
    assert "normal, hyperplasia" in done.output
    assert "(1, 10, 10, 10)" in done.output
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"]


def test_prepare_runs_a_preparation_instead(tmp_path):
    chosen = [f"hydra.searchpath=[file://{ROOT / 'tests' / 'conf'}]", "preparation=note"]
    done = call_verb("prepare", *chosen, f"preparation.file={tmp_path / 'note'}")
    assert done.code == 0, done.output
    assert (tmp_path / "note").read_text() == "prepared"
    assert "train" not in done.output, "no data set is looked at"
    done = call_verb("prepare", *chosen, f"preparation.file={tmp_path / 'nowhere' / 'note'}")
    assert (done.code, done.error) == (2, [f"preparation: no folder {tmp_path / 'nowhere'}: make it first"])
    assert call_verb("prepare", *chosen).error[0].startswith("preparation.file: ")


def test_prepare_checks_a_folder_and_ends_with_1_where_there_are_faults(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(6):
        file = tmp_path / ("train", "test")[number % 2] / "ab"[number // 3] / f"p{number}_0.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 40), np.uint8)).save(file)
    done = call_verb("prepare", f"check={tmp_path}")
    assert done.code == 0, done.output
    assert done.output.endswith("no faults\n")
    (tmp_path / "test" / "b" / "p0_1.png").write_bytes((tmp_path / "train" / "a" / "p0_0.png").read_bytes())
    said = ["datamodule=image_folder", "datamodule.patient='(.*)_[0-9]+'"]
    done = call_verb("prepare", f"check={tmp_path}", *said)
    assert done.code == 1, done.output
    assert done.output.endswith("3 faults\n"), "patient and image in two splits, and the label another"
    done = call_verb("prepare", f"check={tmp_path / 'nowhere'}", *said)
    assert (done.code, done.error) == (2, [f"check: no folder {tmp_path / 'nowhere'}: set check to a folder of images"])
    assert call_verb("prepare", f"check={tmp_path}", "checks.nearly=1").code == 2


class Forecasts(ClassificationModule):
    """A module that takes options."""

    def set_prediction(self, expansion=None, perturb=None, samples=None):
        print("told", expansion, perturb, samples)


def test_a_model_that_forecasts_is_told_what_to_forecast(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDZOO_TRUST", "tests")
    told = ["expansion=0.3", "perturb.Age=[50,70]", "samples=4"]
    Image.fromarray(np.zeros((12, 12), np.uint8)).save(tmp_path / "case.png")
    best, output = tmp_path / "best.ckpt", tmp_path / "out.csv"
    content = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    content["medzoo"]["config"]["lightning_module"]["_target_"] = f"{__name__}.Forecasts"
    torch.save(content, best)
    done = call_verb("predict", f"ckpt_path={best}", f"input={tmp_path / 'case.png'}", f"output={output}", *told)
    assert done.code == 0, done.output
    assert "told 0.3 {'Age': [50, 70]} 4" in done.output
    assert [row["id"] for row in rows(output)] == ["case"]


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "prepare"])
def test_help_shows_commands(verb):
    done = run_verb(verb, "--help")
    assert done.code == 0, done.output
    assert f"python {verb}.py" in done.output


def test_the_resolved_config_can_be_read_without_training(tmp_path):
    done = run_verb("train", *SMALL, f"datamodule.root={tmp_path}", "--cfg", "job", "--resolve")
    assert done.code == 0, done.output
    assert "num_classes: 2" in done.output
    assert not list(tmp_path.iterdir())
