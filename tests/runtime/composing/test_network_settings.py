"""Settings that belong to a network come with it, and those of the authors' codes by one word."""

import re

import pytest
import torch
import yaml
from omegaconf import OmegaConf

import medzoo
from medzoo.models import DDIM
from medzoo.runtime.build import instantiate
from medzoo.runtime.errors import UserError
from medzoo.runtime.plan import make_plan
from medzoo.runtime.verbs.train import train
from tests.conftest import ROOT, compose
from tests.tiny import tiny

PRESETS = sorted((ROOT / "conf" / "preset").glob("*.yaml"))
SEGMENTATION, LIVER = "experiment=hematoma_segmentation_demo", "experiment=liver_segmentation_demo"
HEADS = {True: [2 / 3, 1 / 3, 0], False: [4 / 7, 2 / 7, 1 / 7]}


def stages(folder, *words):
    return make_plan(compose(folder, *words)).stages


def weights(config):
    """What three heads count in the loss of a stage."""
    return instantiate(config["lightning_module"]["criterion"], "criterion").weights(3)


@pytest.mark.parametrize(
    ("net", "drops"), [("umamba", True), ("nnunet", True), ("nnformer", False), ("unetrpp", False)]
)
def test_the_lowest_head_counts_as_in_the_paper_of_the_network(net, drops, tmp_path):
    (config,) = stages(tmp_path, SEGMENTATION, f"lightning_module/net={net}").values()
    assert weights(config) == pytest.approx(HEADS[drops])
    words = [f"lightning_module/net={net}", f"lightning_module.criterion.drop_last={not drops}"]
    said = stages(tmp_path, SEGMENTATION, *words)
    assert weights(said[""]) == pytest.approx(HEADS[not drops]), "a user's word counts more"


def test_the_lowest_head_counts_as_in_the_paper_in_every_stage_of_a_chain(tmp_path):
    words = ["lightning_module/net@stages.nnunet.lightning_module.net=unetrpp"]
    for extra, of_nnunet in (([], True), (words, False)):
        configs = stages(tmp_path, "experiment=hematoma_demo", *extra)
        for name, drops in {"fold_0": True, "nnunet": of_nnunet, "nnformer": False, "unetrpp": False}.items():
            assert weights(configs[name]) == pytest.approx(HEADS[drops]), name


def test_other_experiments_have_the_head_of_their_network(tmp_path):
    assert {tuple(weights(config)) for config in stages(tmp_path, LIVER).values()} == {tuple(HEADS[True])}


@pytest.mark.parametrize(
    ("net", "drops"),
    [
        (
            {
                "_target_": "medzoo.models.ChannelBranches",
                "branch": {"_target_": "medzoo.models.UNETRPP", "_partial_": True},
            },
            False,
        ),
        ({"_target_": "medzoo.models.ChannelBranches", "branch": {"_target_": "medzoo.models.PlainUNet"}}, True),
        ({"_target_": "torch.nn.Identity"}, True),
        ({"_target_": "medzoo.models.Misspelt"}, True),
    ],
)
def test_a_network_within_another_is_asked_and_a_stranger_gets_the_default(net, drops):
    config = OmegaConf.create({"lightning_module": {"net": net, "drop_last": "${net:drop_last,true}"}})
    assert config.lightning_module.drop_last is drops


@pytest.mark.parametrize("file", PRESETS, ids=lambda file: file.stem)
def test_a_preset_is_one_word_beside_its_experiment_and_refused_beside_another(file, tmp_path):
    experiment, preset = re.search(r"train.py experiment=(\w+) preset=(\w+)", file.read_text()).groups()
    assert preset == file.stem
    plain = stages(tmp_path, f"experiment={experiment}_demo")
    said = stages(tmp_path, f"experiment={experiment}_demo", f"preset={preset}")
    assert said.keys() == plain.keys()
    last = [*said][-1]
    assert said[last]["lightning_module"] != plain[last]["lightning_module"]
    assert not said[last]["expected"], "ranges of other settings"
    with pytest.raises(UserError):
        stages(tmp_path, "experiment=medmnist_classification_demo", f"preset={preset}")


def test_hemexp_can_be_what_the_original_is(tmp_path):
    config = stages(tmp_path, "experiment=hemexp_demo", "preset=hemexp_original")["diffusion"]
    module = instantiate(config["lightning_module"], "lightning_module")
    assert isinstance(module.sampler, DDIM)
    assert (module.sampler.steps, module.sampler.eta, module.sampler.spacing) == (250, 0.0, "trailing")
    assert (module.noise_length_mm, module.guidance, module.value_dropout) == (0.0, 1.0, 0.0)
    assert not module.cache_latents
    assert (module.diffusion.gamma, module.diffusion.lesion_weight) == (1.0, 0.0)
    assert module.diffusion.sample_latents
    assert not module.diffusion.correct_baseline
    assert module.diffusion.net.middle_attention.memory.shape[-2] == 4
    assert config["lightning_module"]["optimizer"]["betas"] == [0.9, 0.99]
    assert config["trainer"]["gradient_clip_val"] == 1.0
    ema = instantiate(config["callbacks"]["ema"], "callbacks.ema")
    assert [step for step in range(1, 41) if ema.should_update(step_idx=step)] == [10, 20, 30, 40]
    assert (config["datamodule"]["whole_slices"], config["datamodule"]["train_on"]) == (True, "all")


def test_hemexp_as_the_original_trains_and_forecasts(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDZOO_TEST_STOP_AFTER", "1")
    monkeypatch.setenv("MEDZOO_TRUST", "tests")
    train(tiny("hemexp", tmp_path / "run", tmp_path, "preset=hemexp_original"))
    module = medzoo.load(tmp_path / "run" / "diffusion" / "checkpoints" / "best.ckpt")
    config = yaml.safe_load((tmp_path / "run" / "diffusion" / "config.yaml").read_text())
    datamodule = instantiate(config["datamodule"], "datamodule")
    datamodule.setup("test")
    batch = next(iter(datamodule.test_dataloader()))
    module.set_prediction(samples=2, expansion=0.5)
    with torch.no_grad():
        first, second = (module.eval().predict_step(batch, 0)["forecast"] for _ in range(2))
    assert first.ct.shape[:2] == (2, len(batch["slices"]))
    assert torch.equal(first.iph, second.iph), "the noise of a patient's latents is the same in every run"
