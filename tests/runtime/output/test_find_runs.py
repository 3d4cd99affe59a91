import pytest
from omegaconf import OmegaConf

from medzoo.runtime import cli
from medzoo.runtime.output.run_folder import newest_checkpoint
from tests.conftest import ROOT, compose

WORDS = ["experiment=medmnist_classification_demo", "seed=7"]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Folder of the demo's runs, as seen from the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs" / "medmnist_classification_demo"


def make_run(folder, *words, finished=False, checkpoint=True, stage=""):
    (folder / ".hydra").mkdir(parents=True)
    (folder / stage / "checkpoints").mkdir(parents=True)
    OmegaConf.save(compose(folder, *words), folder / ".hydra" / "config.yaml")
    if checkpoint:
        (folder / stage / "checkpoints" / "last.ckpt").touch()
    if finished:
        (folder / "metrics.json").write_text("{}")
    return folder


def resumed(*words):
    """The folder that the command line of a resumed run ends with."""
    return cli.words_for_hydra([*words, "auto_resume=true"], "train")[len(words) + 1 :]


def test_the_newest_unfinished_run_of_the_same_config_is_resumed(runs):
    make_run(runs / "2026-01-01", *WORDS)
    wanted = make_run(runs / "2026-01-02", *WORDS)
    make_run(runs / "2026-01-03", *WORDS, finished=True)
    make_run(runs / "2026-01-04", *WORDS, checkpoint=False)
    make_run(runs / "2026-01-05", WORDS[0], "seed=8")
    (found,) = resumed(*WORDS)
    assert found == f'hydra.run.dir="{wanted.relative_to(runs.parent.parent)}"'


def test_a_run_of_0_1_is_found_though_its_targets_have_other_names(runs):
    old = make_run(runs / "2026-01-01", *WORDS) / ".hydra" / "config.yaml"
    old.write_text(old.read_text().replace("_target_: medzoo.", "_target_: "))
    assert "2026-01-01" in resumed(*WORDS)[0]


def test_a_run_that_was_itself_resumed_is_found_again(runs):
    wanted = make_run(runs / "2026-01-01", *WORDS, "auto_resume=true")
    assert str(wanted.name) in resumed(*WORDS)[0]


@pytest.mark.parametrize("stage", ["first", "second"])
def test_a_run_of_several_stages_is_found_by_any_of_them(runs, stage):
    words = [f"hydra.searchpath=[file://{ROOT / 'tests' / 'conf'}]", "experiment=two_stages"]
    runs = runs.parent / "two_stages"
    make_run(runs / "2026-01-01", *words, "seed=8", stage=stage)
    wanted = make_run(runs / "2026-01-02", *words, stage=stage)
    make_run(runs / "2026-01-03", *words, finished=True, stage=stage)
    make_run(runs / "2026-01-04", *words, stage="neither")
    (found,) = resumed(*words)
    assert found == f'hydra.run.dir="{wanted.relative_to(runs.parent.parent)}"'


def test_without_such_a_run_a_new_one_starts(runs):
    make_run(runs / "2026-01-01", *WORDS, finished=True)
    assert resumed(*WORDS) == []


@pytest.mark.parametrize("word", ["hydra.run.dir=here", "-m"])
def test_a_named_folder_and_a_sweep_are_left_alone(runs, word):
    make_run(runs / "2026-01-01", *WORDS)
    assert resumed(*WORDS, word) == []


def test_a_process_that_lightning_started_keeps_its_command_line(runs, monkeypatch):
    make_run(runs / "2026-01-01", *WORDS)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert resumed(*WORDS) == []


def test_the_newest_checkpoint_is_found(runs):
    make_run(runs / "2026-01-01", *WORDS)
    make_run(runs / "2026-01-02", *WORDS, finished=True)
    make_run(runs / "2026-01-03", *WORDS, checkpoint=False)
    assert newest_checkpoint(runs) == runs / "2026-01-02" / "checkpoints" / "last.ckpt"
    assert newest_checkpoint(runs / "nothing") is None
