"""A checkpoint that 0.1 wrote, when the rooms were packages of their own, is what it was."""

import json

import pytest
import torch

import medzoo
from medzoo.runtime.checkpoints import checkpoint
from tests.conftest import ROOT, call_verb

CKPT = ROOT / "tests" / "runtime" / "written_by_0_1.ckpt"  # without the state of its optimiser
MEASURED = {"test/auc": 0.55, "test/acc": 0.541667, "test/loss": 0.676692}  # by the code that wrote it


def test_it_loads():
    assert torch.load(CKPT, weights_only=True)["medzoo"]["config"]["datamodule"]["_target_"].startswith("datamodules.")
    assert type(medzoo.load(CKPT)) is medzoo.lightning_modules.ClassificationModule


def test_it_measures_what_it_measured(tmp_path):
    words = [f"ckpt_path={CKPT}", f"datamodule.root={tmp_path / 'data'}", f"hydra.run.dir={tmp_path / 'run'}"]
    done = call_verb("evaluate", *words, "trainer.accelerator=cpu")
    assert done.code == 0, done.output
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert {name: metrics[name] for name in MEASURED} == pytest.approx(MEASURED, abs=1e-4)


def test_an_own_package_of_the_name_of_a_room_is_meant_where_it_is_trusted(monkeypatch):
    content = torch.load(CKPT, weights_only=True)
    monkeypatch.setenv("MEDZOO_TRUST", "models")
    config = checkpoint.with_new_names(content["medzoo"]["config"])
    assert config["lightning_module"]["net"]["_target_"] == "models.monai_network"
    assert config["lightning_module"]["_target_"] == "medzoo.lightning_modules.ClassificationModule"


def test_arguments_of_networks_have_the_names_of_today():
    net = {"_target_": "models.ResidualVAE", "latent": 8, "blocks": 1, "groups": 4, "in_channels": 1}
    branches = {"_target_": "models.ChannelBranches", "groups": [[0]]}
    module = {"_target_": "lightning_modules.TranslationModule", "trained": "a", "to_a": net, "to_b": branches}
    assert checkpoint.with_new_names(module) == {
        "_target_": "medzoo.lightning_modules.TranslationModule",
        "pretrained": "a",
        "to_a": {
            "_target_": "medzoo.models.ResidualVAE",
            "latent_features": 8,
            "num_res_blocks": 1,
            "norm_num_groups": 4,
            "in_channels": 1,
        },
        "to_b": {"_target_": "medzoo.models.ChannelBranches", "groups": [[0]]},
    }


def test_an_argument_that_is_gone_is_left_out_of_checkpoints_and_told_on_the_command_line():
    old = {"_target_": "datamodules.FollowupDataModule", "root": "x", "cache_dir": "data/cache"}
    assert checkpoint.with_new_names({"datamodule": old})["datamodule"] == {
        "_target_": "medzoo.datamodules.FollowupDataModule",
        "root": "x",
    }
    for word in ("datamodule.cache_dir=x", "+datamodule.cache_dir=x"):
        done = call_verb("train", "experiment=hemexp_demo", word)
        assert done.code == 2
        (told,) = done.error
        assert "the key store_dir of the run has replaced it" in told


@pytest.mark.parametrize(
    ("experiment", "old", "new"),
    [("hlhs_rvae_demo", "latent=8", "latent_features"), ("hematoma_synthesis_demo", "blocks=1", "num_res_blocks")],
)
def test_an_old_argument_on_the_command_line_is_told_with_the_new_one(experiment, old, new):
    done = call_verb("train", f"experiment={experiment}", f"+lightning_module.net.{old}")
    assert done.code == 2
    assert f"it is called {new} now" in done.output


def test_an_old_name_on_the_command_line_is_told_with_the_new_one():
    done = call_verb(
        "train", "experiment=medmnist_classification_demo", "lightning_module.net._target_=models.timm_network"
    )
    assert done.code == 2
    assert "models.timm_network is called medzoo.models.timm_network now" in done.output


def test_threads_of_old_checkpoints_are_left_out_and_in_commands_told():
    config = {"_target_": "datamodules.SegmentationDataModule", "root": "a", "threads": 2}
    assert checkpoint.with_new_names(config) == {"_target_": "medzoo.datamodules.SegmentationDataModule", "root": "a"}
    done = call_verb("train", "experiment=hematoma_segmentation_demo", "datamodule.threads=2")
    assert done.error == [
        "datamodule.threads: no such key; the key workers of the run has replaced it: write workers=2"
    ]
