"""Runs of several stages: order, hand-over, what is skipped, what is told early, and what lies in the run folder."""

import json
import shutil
import signal
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf

import medzoo
from medzoo.runtime.build import resolve
from medzoo.runtime.errors import UserError
from medzoo.runtime.output.run_folder import collect_metrics
from medzoo.runtime.output.sweep import _optimized_metric
from medzoo.runtime.plan import make_plan
from medzoo.runtime.training import fit
from medzoo.runtime.training.stage import Stage
from tests.conftest import ROOT, call_verb, compose, run_verb

TWO = [f"hydra.searchpath=[file://{ROOT / 'tests' / 'conf'}]", "experiment=two_stages"]


def train(folder, *overrides, **environment):
    places = [f"hydra.run.dir={folder}", f"datamodule.root={folder.parent / 'data'}"]
    if environment or "trainer.devices=2" in overrides:
        return run_verb("train", *TWO, *places, *overrides, **environment)
    return call_verb("train", *TWO, *places, *overrides)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def weights_of(stage, which="best"):
    return torch.load(stage / "checkpoints" / f"{which}.ckpt", weights_only=True)["state_dict"]


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert torch.equal(weight, other[name]), name


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """Folder of one finished run of two stages."""
    run = tmp_path_factory.mktemp("staged") / "run"
    done = train(run)
    assert done.code == 0, done.output
    return run


def test_a_stage_sees_its_own_values_and_those_of_earlier_stages(tmp_path):
    config = compose(tmp_path, *TWO, "++stages.first.datamodule.size=16", "trainer.precision=bf16-mixed")
    first, second = make_plan(config).stages.values()
    assert (first["datamodule"]["size"], second["datamodule"]["size"]) == (16, 12)
    assert first["lightning_module"]["net"]["img_size"] == [16, 16], "${data:...} is that of the stage"
    assert second["lightning_module"]["net"] == first["lightning_module"]["net"], "and what it refers to stays so"
    assert [stage["callbacks"]["best"]["monitor"] for stage in (first, second)] == ["val/loss", "val/auc"]
    assert [stage["trainer"]["precision"] for stage in (first, second)] == ["bf16-mixed"] * 2
    assert "stages" not in first


def test_an_object_of_another_class_replaces_that_of_the_run(tmp_path):
    change = "++stages.first.callbacks.figures={_target_: medzoo.callbacks.FiniteGuard}"
    first, second = make_plan(compose(tmp_path, *TWO, change)).stages.values()
    assert first["callbacks"]["figures"] == {"_target_": "medzoo.callbacks.FiniteGuard"}
    assert second["callbacks"]["figures"]["resamples"] == 20


def test_a_stage_can_be_like_another_and_a_stage_can_be_left_out(tmp_path):
    third = "+stages.third={like: second, trainer: {max_steps: 9}, lightning_module: {optimizer: {lr: 0.5}}}"
    configs = make_plan(compose(tmp_path, *TWO, third, "stages.second.datamodule.batch_size=4")).stages
    assert [*configs] == ["first", "second", "third"]
    assert configs["third"]["datamodule"]["batch_size"] == 4, "what is changed in one is changed in the other"
    assert configs["third"]["trainer"]["max_steps"] == 9
    assert configs["second"]["trainer"]["max_steps"] == 6
    assert configs["third"]["lightning_module"]["optimizer"]["lr"] == 0.5
    assert [*make_plan(compose(tmp_path, *TWO, third, "stages.third=null")).stages] == [
        "first", "second",
    ]  # fmt: skip


def test_weights_to_start_from_are_a_stages_own(tmp_path):
    third = "+stages.third={like: second}"
    configs = make_plan(compose(tmp_path, *TWO, third, "+stages.second.init_from=x.ckpt")).stages
    assert (configs["second"]["init_from"], configs["third"]["init_from"]) == ("x.ckpt", None)


def test_the_run_folder_can_be_named_in_a_config(tmp_path):
    guard = "+callbacks.x={_target_: medzoo.callbacks.FiniteGuard, every_n_steps: 2}"
    configs = make_plan(compose(tmp_path, *TWO, guard, "+stages.second.datamodule.root=${run:}/first")).stages
    assert configs["second"]["datamodule"]["root"] == f"{tmp_path}/first"


def test_the_config_of_the_run_merges_to_those_of_its_stages(tmp_path):
    plan = make_plan(compose(tmp_path, *TWO))
    written = OmegaConf.create(plan.config())
    assert written.pop("comparisons") == plan.comparisons
    for name, stage in written.pop("stages").items():
        assert OmegaConf.to_container(OmegaConf.merge(written, stage)) == plan.stages[name]


def test_the_config_can_be_read_without_training(tmp_path):
    done = call_verb("train", *TWO, f"datamodule.root={tmp_path}", "--cfg", "job", "--resolve")
    assert done.code == 0, done.output
    shown = OmegaConf.create(done.output)
    assert shown.seed == 1
    assert shown.stages.first.monitor == "val/loss"
    assert list(shown.stages.second.lightning_module.net.img_size) == [12, 12]
    assert not list(tmp_path.iterdir())


def test_a_run_of_one_stage_is_as_it_was(tmp_path):
    config = compose(tmp_path, "experiment=medmnist_classification_demo")
    assert make_plan(config).stages == {"": resolve(config)}
    assert make_plan(config).config() == resolve(config)


def test_a_sweep_compares_the_metric_of_the_last_stage(tmp_path):
    for word, metric in (("monitor=val/acc", "val/acc"), ("++stages.second.monitor=val/loss", "val/loss")):
        plan = make_plan(compose(tmp_path, *TWO, word))
        OmegaConf.save(OmegaConf.create(plan.config()), tmp_path / "config.yaml")
        assert plan.optimized_metric == _optimized_metric(tmp_path) == metric


def test_metrics_of_earlier_stages_bear_their_names(tmp_path):
    for name, minutes in (("a", 1.5), ("b", 2.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps({"test/loss": minutes, "fit/minutes": minutes}))
    assert collect_metrics(tmp_path, ["given", "a", "b"]) == {
        "a/test/loss": 1.5, "a/fit/minutes": 1.5, "b/fit/minutes": 2.0, "test/loss": 2.0, "fit/minutes": 3.5,
    }  # fmt: skip


MISTAKES = {
    "wrong type": (["stages.second.lightning_module.optimizer.lr=abc"], "stage second: lightning_module.optimizer.lr"),
    "unknown metric": (["stages.second.monitor=val/acu"], "stage second: monitor=val/acu: this module logs no such"),
    "not to be swept by": (["optimized_metric=val/acu"], "stage second: optimized_metric=val/acu"),
    "does not fit": (["stages.second.lightning_module.tta_flips=[5]"], "stage second: the data do not fit"),
    "unknown stage": (["stages.secnd.trainer.max_steps=3"], "stages.secnd: no such stage"),
    "like none": (
        ["+stages.third={like: secnd}"],
        "stages.third.like=secnd: no such stage before it; did you mean 'second'?",
    ),
    "like one left out": (
        ["+stages.third={like: first}", "stages.first=null"],
        "stages.third is like first, which is left out: leave this one out too",
    ),
    "no stage": (["stages.second=5"], "stages.second=5: expected keys of the config, or null"),
    "compared with none": (
        ["+comparisons.x={_target_: medzoo.runtime.comparisons.CompareMetrics, stages: {a: frist}, columns: {}}"],
        "comparisons.x: no stage frist; did you mean 'first'?",
    ),
    "wrong comparison": (
        ["+comparisons.x={_target_: medzoo.runtime.comparisons.CompareMetrics, stages: {}}"],
        "comparisons.x",
    ),
    "unknown key": (["stages.first.monitr=val/loss"], "stages.first.monitr: no such key; did you mean 'monitor'?"),
    "unknown argument": (["stages.second.trainer.max_step=3"], "did you mean 'max_steps'?"),
    "taken name": (["stages.figures.lightning_module={_target_: x}"], "stages.figures: files and metrics"),
    "which stage": (["lightning_module.optimizer.lr=1"], "say which with stages.<first|second>.lightning_module"),
    "no effect": (
        ["trainer.max_steps=9", "stages.first.trainer.max_steps=9"],
        "trainer.max_steps: every stage has its own; say which with stages.<first|second>.trainer.max_steps=9",
    ),
    "added where every stage has its own": (
        ["+lightning_module.net.grad_checkpointing=true"],
        "lightning_module.net.grad_checkpointing: every stage has its own; say which with stages.<first|second>.",
    ),
    "chosen where every stage has its own": (
        ["+lightning_module/net=vit_tiny"],
        "say which with lightning_module/net@stages.<first|second>.lightning_module.net=vit_tiny",
    ),
    "continue from": (["ckpt_path=last"], "ckpt_path: this run has several stages"),
    "start from": (["init_from=x.ckpt"], "init_from: this run has several stages"),
    "nothing to train": (["stages.second.ckpt_path=x.ckpt"], "the last stage must be trained"),
    "no checkpoint": (["stages.first.ckpt_path={tmp}/x.ckpt"], "stage first: no checkpoint {tmp}/x.ckpt"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_any_stage_is_told_before_the_first_is_trained(case, tmp_path):
    words, message = MISTAKES[case]
    words, message = [word.replace("{tmp}", str(tmp_path)) for word in words], message.replace("{tmp}", str(tmp_path))
    places = [f"hydra.run.dir={tmp_path / 'run'}", f"datamodule.root={tmp_path / 'data'}"]
    done = call_verb("train", *TWO, *places, *words)
    assert done.code == 2, done.output
    assert len(done.error) == 1, done.output
    assert message in done.error[0], done.output
    assert not list(tmp_path.glob("run/**/*.ckpt")), "nothing was trained"


@pytest.mark.parametrize(
    "word",
    [
        "trainer.precision=bf16-mixed",
        "callbacks.figures.resamples=5",
        "~callbacks.figures",
        "callbacks.figures=null",
        "callbacks/ema=ema",
        "callbacks.best.verbose=true",
        "logger=none",
        "seed=3",
        "auto_resume=true",
        "datamodule.batch_size=4",
        "trainer.max_steps=5",
    ],
)
def test_what_some_stage_reads_may_be_said_of_the_whole_run(word, tmp_path):
    assert make_plan(compose(tmp_path, *TWO, word)).stages.keys() == {"first", "second"}


@pytest.mark.parametrize("word", ["callbacks.figures=null", "callbacks.figures.mistakes=3", "~callbacks.figures"])
def test_what_every_stage_replaces_may_not(word, tmp_path):
    own = [
        f"++stages.{name}.callbacks.figures={{_target_: medzoo.callbacks.FiniteGuard}}" for name in ("first", "second")
    ]
    with pytest.raises(UserError, match=r"every stage has its own; say which with ~?stages\.<first\|second>"):
        make_plan(compose(tmp_path, *TWO, *own, word))


def test_stages_run_in_order_and_hand_on_what_they_learnt(staged):
    first, second = (torch.load(staged / name / "checkpoints" / "last.ckpt") for name in ("first", "second"))
    assert (first["global_step"], second["global_step"]) == (12, 6)
    assert (staged / "first" / "metrics.json").stat().st_mtime < (staged / "second" / "metrics.json").stat().st_mtime
    assert_same_weights(weights_of(staged / "first"), weights_of(staged / "second"))
    assert_same_weights(weights_of(staged / "first"), weights_of(staged / "second", "last"))


def test_the_run_folder_holds_what_is_promised(staged):
    names = {str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file()}
    whole_run = {"config.yaml", "metrics.json", "split.json", "environment.txt", "report.html", "train.log"}
    of_a_stage = {"config.yaml", "metrics.json", "metrics.csv", "checkpoints/best.ckpt", "predictions/test.csv"}
    assert names >= whole_run | {f"{stage}/{name}" for stage in ("first", "second") for name in of_a_stage}
    assert not names & {"metrics.csv", "first/report.html", "second/report.html"}
    metrics, first, second = metrics_of(staged), metrics_of(staged / "first"), metrics_of(staged / "second")
    assert metrics["test/loss"] == second["test/loss"]
    assert metrics["first/test/loss"] == first["test/loss"]
    assert metrics["fit/minutes"] == pytest.approx(metrics["first/fit/minutes"] + metrics["second/fit/minutes"])


def test_one_report_has_a_section_for_each_stage(staged):
    report = (staged / "report.html").read_text()
    assert report.index("Stage first") < report.index("Stage second")
    assert report.count(">Classes<") == 2
    assert report.count("data:image/png;base64,") == len(list(staged.rglob("*.png"))) == 10
    assert "phantom images" in report


def test_the_checkpoint_of_a_later_stage_needs_no_earlier_one(staged, monkeypatch):
    monkeypatch.setenv("MEDZOO_TRUST", "tests")
    loaded = medzoo.load(staged / "second" / "checkpoints" / "best.ckpt")
    assert_same_weights(dict(loaded.state_dict()), weights_of(staged / "first"))


@pytest.mark.slow
def test_a_stage_whose_checkpoint_is_given_is_not_trained(staged, tmp_path):
    best = staged / "first" / "checkpoints" / "best.ckpt"
    done = train(tmp_path / "run", f"stages.first.ckpt_path={best}")
    assert done.code == 0, done.output
    assert not (tmp_path / "run" / "first").exists()
    assert_same_weights(weights_of(staged / "first"), weights_of(tmp_path / "run" / "second"))
    assert "Stage first" not in (tmp_path / "run" / "report.html").read_text()


def test_a_given_checkpoint_has_to_fit(staged, tmp_path):
    best = staged / "first" / "checkpoints" / "best.ckpt"
    config = [f"stages.first.ckpt_path={best}", "stages.first.lightning_module.net.depth=2"]
    done = call_verb("train", *TWO, f"hydra.run.dir={tmp_path / 'run'}", f"datamodule.root={tmp_path}", *config)
    assert done.code == 2, done.output
    assert "stage first: " in done.error[0]
    assert "is of another model" in done.error[0]


@pytest.mark.slow
def test_a_run_killed_in_its_second_stage_goes_on_there(staged, tmp_path):
    run = tmp_path / "run"
    killed = train(run, MEDZOO_TEST_KILL_AT="5")
    assert killed.code == -signal.SIGKILL, killed.output
    before = (run / "first" / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    assert call_verb("train", *TWO, f"hydra.run.dir={run}").error[0].startswith(f"{run} holds an unfinished run")

    resumed = train(run, "auto_resume=true")

    assert resumed.code == 0, resumed.output
    assert "stage first: complete, skipped" in resumed.output
    assert "resuming" in resumed.output
    assert (run / "first" / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before, "not trained again"
    assert metrics_of(run)["test/loss"] == metrics_of(staged)["test/loss"]
    too_short = {"fit/seconds_per_step"}  # for a median
    assert metrics_of(run).keys() == metrics_of(staged).keys() - too_short


@pytest.mark.slow
def test_two_processes_go_through_the_same_stages(staged, tmp_path):
    run, two = tmp_path / "run", ["trainer.devices=2", "logger=default"]
    done = train(run, *two)
    assert done.code == 0, done.output
    assert done.output.count("received ['first']") == 2, "by both processes"
    assert metrics_of(run).keys() == metrics_of(staged).keys()
    assert_same_weights(weights_of(run / "first"), weights_of(run / "second"))
    assert [len(list((run / stage / "wandb").glob("offline-run-*"))) for stage in ("first", "second")] == [1, 1]

    (run / "metrics.json").unlink()  # as if it had been interrupted before the second stage began
    shutil.rmtree(run / "second")
    again = train(run, *two, "auto_resume=true")
    assert again.code == 0, again.output
    assert again.output.count("received ['first']") == 2
    assert metrics_of(run)["fit/steps"] == 6
    assert_same_weights(weights_of(run / "first"), weights_of(run / "second"))


@pytest.mark.parametrize(("sweep", "group"), [(None, "demo/now"), ("my sweep", "my sweep")])
def test_the_dashboard_ties_the_stages_of_a_run_together(sweep, group, tmp_path, monkeypatch):
    config = make_plan(compose(tmp_path, *TWO)).stages["second"]
    config["logger"] = {"wandb": {"_target_": "builtins.dict", "_partial_": True, "group": sweep}}
    monkeypatch.setattr(fit, "make_trainer", lambda *_, logger, **__: logger)
    run = tmp_path / "demo" / "now"
    (told,) = fit._trainer(Stage("second", config, run / "second", datamodule=SimpleNamespace(phantom=True)))
    assert (told["run_name"], told["group"]) == ("demo/now/second (phantom)", group)
    assert told["save_dir"] == run / "second"


@pytest.mark.slow
def test_stages_pass_on_weights_without_files_where_none_are_written(tmp_path):
    done = train(tmp_path / "run", "trainer.fast_dev_run=true")
    assert done.code == 0, done.output
    assert "received ['first']" in done.output


def test_a_stage_without_a_value_is_told(tmp_path):
    with pytest.raises(UserError, match="stage first: "):
        make_plan(compose(tmp_path, *TWO, "++stages.first.datamodule.size=???"))


def test_comparisons_can_be_left_out_altogether():
    assert not make_plan(compose("experiment=liver_comparison_demo", "comparisons=null")).comparisons
