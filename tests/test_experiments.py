"""Every experiment in `conf/experiment` is composed; every full one, made small, is trained, tested and resumed."""

import json
import os
import re
import socket
import subprocess
import sys

import lightning as L
import pytest
import torch
from omegaconf import OmegaConf

import medzoo
from medzoo.datamodules import loading
from medzoo.runtime.build import instantiate, instantiate_all, make_trainer
from medzoo.runtime.checkpoints.checkpoint import EmbedConfig, read, rebuild
from medzoo.runtime.output.run_folder import BEST, LAST
from medzoo.runtime.plan import make_plan
from medzoo.runtime.verbs.train import train
from tests.conftest import EXPERIMENTS, ROOT, call_verb, compose
from tests.tiny import FULL, tiny, words

MEANINGS = OmegaConf.load(ROOT / "evaluation" / "metrics.yaml")
KNOWN = re.compile("|".join(re.sub("<.+?>", ".+", str(name)) + "(_low|_high)?" for name in MEANINGS))

LONGEST = (
    "hematoma",
    "hematoma_segmentation",
    "hemexp",
    "hlhs",
    "liver_comparison",
    "liver_fusion",
    "liver_pretraining",
)


@pytest.fixture(scope="module", autouse=True)
def stops():
    """Training ends after the first of two epochs; checkpoints may name the callback that does so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDZOO_TEST_STOP_AFTER", "1")
        patch.setenv("MEDZOO_TRUST", "tests")
        yield


def test_there_are_experiments_and_every_one_has_a_demo():
    assert "medmnist_classification" in EXPERIMENTS
    for name in FULL:
        assert f"{name}_demo" in EXPERIMENTS, f"{name} has no demo"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_composes_as_written(experiment, tmp_path):
    needed = [] if experiment.endswith("_demo") else words(experiment, "needed")
    configs = [*make_plan(compose(tmp_path, f"experiment={experiment}", *needed)).stages.values()]
    assert configs[-1]["optimized_metric"] == configs[-1]["monitor"], "sweeps never optimise a test metric"
    assert not any(config["monitor"].startswith("test/") for config in configs)


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name.endswith("_demo")])
def test_demo_inherits_from_its_experiment(experiment):
    text = (ROOT / "conf" / "experiment" / f"{experiment}.yaml").read_text()
    defaults = OmegaConf.create(text).defaults
    assert experiment.removesuffix("_demo") in defaults, "a demo inherits from its experiment"


@pytest.mark.parametrize(
    "experiment", [pytest.param(name, marks=pytest.mark.slow if name in LONGEST else ()) for name in FULL]
)
def test_experiment_trains_tests_resumes_and_is_evaluated_elsewhere(experiment, phantoms, tmp_path, monkeypatch):
    run = tmp_path / "run"
    config = tiny(experiment, run, phantoms)
    plain = make_plan(config).stages

    train(config)

    demo = make_plan(compose(tmp_path, f"experiment={experiment}_demo"))
    left_out = tuple(f"{stage}/" for stage in {*demo.stages} - {*plain} if stage)
    expected = {name for name in demo.expected if not name.startswith(left_out)}
    assert not expected - set(json.loads((run / "metrics.json").read_text())), "expected, but not measured"
    for stage, each in plain.items():
        check(each, run / stage)
    stage = [*plain][-1]
    check_elsewhere(plain[stage], run / stage, monkeypatch)


def check(config, folder):
    """One stage that was trained."""
    metrics = json.loads((folder / "metrics.json").read_text())
    assert [name for name in metrics if name.startswith("test/")]
    assert not [name for name in metrics if not KNOWN.fullmatch(name)], "evaluation/metrics.yaml says what each means"
    if config["trainer"]["max_epochs"] == 0:  # all is fitted by `finalize`
        return
    assert metrics["fit/steps"] > 0
    if (file := folder / BEST).is_file():  # also where the last is tested: people predict with either
        rebuild(config, read(file), file)
    file = folder / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    assert not torch.serialization.get_unsafe_globals_in_checkpoint(file), "the checkpoint holds plain data only"
    assert content["medzoo"]["config"] == config
    loaded = medzoo.load(file)
    for name, weight in content["state_dict"].items():
        assert torch.equal(loaded.state_dict()[name], weight), name
        assert torch.isfinite(weight).all(), name
    for optimizer in content["optimizer_states"]:
        moments = [value for state in optimizer["state"].values() for value in state.values() if value is not None]
        assert any(torch.as_tensor(value).ndim and torch.as_tensor(value).any() for value in moments), (
            "every optimiser has taken a step with a gradient, that of a discriminator too"
        )
    with pytest.MonkeyPatch.context() as patch:  # batches are made by workers however small they are
        patch.setattr(loading, "handing_over", lambda size: 0.0)
        patch.setattr(loading, "_TRIED", 1)
        steps, weights = zip(*(resume(config, folder / f"resumed_{n}", file, workers=n) for n in (0, 2)), strict=True)
    assert steps == (2 * content["global_step"],) * 2
    for name, weight in weights[0].items():
        assert torch.equal(weight, weights[1][name]), f"{name}: workers change nothing"


def check_elsewhere(config, folder, monkeypatch):
    """Evaluation on another cohort changes neither the checkpoint nor a buffer: nothing is fitted anew."""
    file = folder / (BEST if config["test_checkpoint"] == "best" else LAST)
    kept, before = torch.load(file, weights_only=True)["state_dict"], file.read_bytes()
    test, tested = L.Trainer.test, []

    def spied(trainer, module, *arguments, **options):
        found = test(trainer, module, *arguments, **options)
        for name, value in module.state_dict().items():
            torch.testing.assert_close(value, kept[name], rtol=0, atol=0, equal_nan=True, msg=name)
        tested.append(module)
        return found

    monkeypatch.setattr(L.Trainer, "test", spied)
    other = [*another_cohort(config["datamodule"], "datamodule")]
    done = call_verb("evaluate", f"ckpt_path={file}", *other, f"hydra.run.dir={folder / 'elsewhere'}")
    assert done.code == 0, done.output
    assert tested
    assert file.read_bytes() == before


def another_cohort(config, path):
    """Overrides that draw another phantom."""
    for key, value in config.items():
        if key == "phantom_seed" or (key == "seed" and ".phantom" in path):
            yield f"{path}.{key}={value + 6}"
        elif isinstance(value, dict):
            yield from another_cohort(value, f"{path}.{key}")


def resume(config, folder, ckpt_path, workers):
    """Steps and weights after going on to the end."""
    L.seed_everything(config["seed"], verbose=False)
    datamodule = instantiate(config["datamodule"], "datamodule")
    datamodule.workers = workers
    module = instantiate(config["lightning_module"], "lightning_module")
    callbacks = [EmbedConfig(config), *instantiate_all(config["callbacks"], "callbacks")]
    callbacks = [one for one in callbacks if type(one).__name__ not in ("LearningRateMonitor", "StopAfter")]
    trainer = make_trainer(config["trainer"], folder, callbacks=callbacks, logger=False)
    trainer.fit(module, datamodule, ckpt_path=ckpt_path, weights_only=True)
    return trainer.global_step, module.state_dict()


@pytest.mark.slow
def test_every_experiment_trains_and_tests_on_two_processes(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0", "WORLD_SIZE": "2"}
    (tmp_path / "data").mkdir()
    chosen = [name for name in FULL if name != "hematoma"]  # tests/runtime/verbs/test_hematoma_chain.py
    command = [sys.executable, "-m", "tests.tiny", str(tmp_path), str(tmp_path / "data"), *chosen]
    logs = [(tmp_path / f"rank_{rank}.txt").open("w") for rank in (0, 1)]
    ranks = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **group, "LOCAL_RANK": str(rank)},
            stdout=logs[rank],
            stderr=subprocess.STDOUT,
        )
        for rank in (0, 1)
    ]
    try:
        codes = [process.wait(timeout=1800) for process in ranks]
    finally:
        for process, log in zip(ranks, logs, strict=True):
            process.kill()
            log.close()
    assert codes == [0, 0], "\n".join((tmp_path / f"rank_{rank}.txt").read_text()[-3000:] for rank in (0, 1))
    for experiment in chosen:
        assert any((tmp_path / experiment).glob("**/metrics.json")), experiment
