"""`--config-dir <folder>`: experiments of the user's own, by every way in which a command line is composed."""

import subprocess
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from medzoo.runtime import cli
from medzoo.runtime.composing.compose import compose, config_dir_of, split_flags
from medzoo.runtime.output.run_folder import LAST
from tests.conftest import call_verb

MINE = """# @package _global_
defaults: [medmnist_classification_demo, _self_]
seed: 77
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    own = tmp_path / "my_conf"
    (own / "experiment").mkdir(parents=True)
    (own / "experiment" / "mine.yaml").write_text(MINE)
    return own


@pytest.mark.parametrize("words", [["--cfg", "job"], ["--cfg", "job", "--resolve"], ["-c", "job"]])
@pytest.mark.parametrize("flag", ["--config-dir {}", "--config-dir={}", "-cd {}"])
def test_an_own_experiment_is_composed(folder, flag, words):
    own = flag.format(folder).split()
    done = call_verb("train", "experiment=mine", *own, "callbacks.best.verbose=true", *words)
    assert done.code == 0, done.output
    config = OmegaConf.create(done.output)
    assert (config.seed, config.callbacks.best.verbose, config.datamodule.size) == (77, True, 28)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["experiment=mne"], "experiment=mne: no such option; did you mean 'mine'?"),
        (["experiment=zzzzzz"], ", mine, "),
        (["experiment=mine", "sed=3"], "sed: no such key; did you mean 'seed'?"),
        (["experiment=mine", "-cn", "other"], "a verb has its own configs; add a folder of yours with --config-dir"),
        (["experiment=mine", "--config-dir", "nowhere"], "--config-dir nowhere: no such folder"),
    ],
)
def test_a_mistake_beside_it_is_one_line(folder, words, told):
    done = call_verb("train", "--config-dir", str(folder), *words)
    assert (done.code, len(done.error)) == (2, 1), done.output
    assert told in done.error[0]


def test_an_unfinished_run_of_an_own_experiment_is_found(folder, tmp_path):
    run = tmp_path / "runs" / "earlier"
    (run / LAST).parent.mkdir(parents=True)
    (run / LAST).touch()
    (run / ".hydra").mkdir()
    OmegaConf.save(compose("train", ["experiment=mine"], str(folder)), run / ".hydra" / "config.yaml")
    asked = ["experiment=mine", "--config-dir", str(folder), "auto_resume=true"]
    given = cli.words_for_hydra([*asked, f"+hydra={{run: {{dir: {tmp_path}/runs/new}}}}"], "train")
    assert f'hydra.run.dir="{run}"' in given
    assert given[:2] == ["--config-dir", str(folder)]


def test_jobs_of_a_sweep_get_it(folder, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(
        "medzoo.runtime.output.sweep.subprocess.run",
        lambda command, **_: commands.append(command) or subprocess.CompletedProcess(command, 2),
    )
    own = ["experiment=mine", "--config-dir", str(folder), f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    done = call_verb("train", "-m", *own, "seed=3,4")
    assert "job 0 of the sweep cannot run" in done.output
    (command,) = commands
    assert config_dir_of(command[2:]) == str(folder)
    assert compose("train", split_flags(command[2:])[1], str(folder)).seed == 3
    HydraConfig.instance().cfg = None


def test_flags_come_before_settings(folder):
    words = ["seed=1", "--config-dir", str(folder), "~logger", "-m", "x=2"]
    assert split_flags(words) == (["--config-dir", str(folder), "-m"], ["seed=1", "~logger", "x=2"])
