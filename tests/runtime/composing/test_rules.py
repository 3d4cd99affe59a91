"""A choice on the command line comes without the recipe's keys of the old one; what a class takes can be set."""

from pathlib import Path

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from medzoo.runtime.build import instantiate, resolve
from medzoo.runtime.plan import make_plan
from tests.conftest import EXPERIMENTS, ROOT, call_verb, compose

NETS = {file.stem: file for file in (ROOT / "conf" / "lightning_module" / "net").glob("*.yaml")}
DEMO = "experiment=medmnist_classification_demo"


def net_choices(folder, experiment):
    """Groups and options of networks that an experiment chooses, in its stages or at the root."""
    compose(folder, f"experiment={experiment}")
    choices = HydraConfig.get().runtime.choices
    return {group: option for group, option in choices.items() if group.split("@")[0] == "lightning_module/net"}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_another_network_comes_as_its_file_says(experiment, tmp_path):
    for group, option in net_choices(tmp_path, experiment).items():
        node = group.partition("@")[2] or "lightning_module.net"
        other = "vit_tiny" if option != "vit_tiny" else "resnet18_3d"
        config = compose(tmp_path, f"experiment={experiment}", f"{group}={other}")
        chosen = OmegaConf.select(config, node)
        if chosen is None:  # of a stage that the recipe leaves out
            continue
        choices = HydraConfig.get().runtime.choices
        module = choices.get(group.replace("/net", "").removesuffix(".net")) or choices["lightning_module"]
        asked = OmegaConf.load(ROOT / "conf" / "lightning_module" / f"{module}.yaml").get("net") or {}
        expected = OmegaConf.to_container(OmegaConf.merge(OmegaConf.load(NETS[other]), asked))
        assert OmegaConf.to_container(chosen) == expected, group


def test_sizes_that_come_from_another_stage_follow_to_another_network(tmp_path):
    group = "lightning_module/net@stages.genesis.lightning_module.net=umamba"
    net = compose(tmp_path, "experiment=liver_pretraining_demo", group).stages.genesis.lightning_module.net
    assert OmegaConf.to_container(net)["features"] == "${stages.scratch.lightning_module.net.features}"


def test_the_unet_of_models_genesis_goes_from_restoration_to_segmentation(tmp_path):
    groups = [
        f"lightning_module/net@stages.{name}.lightning_module.net=genesis_unet" for name in ("scratch", "genesis")
    ]
    stages = make_plan(compose(tmp_path, "experiment=liver_pretraining_demo", *groups)).stages
    nets = {name: stage["lightning_module"]["net"] for name, stage in stages.items()}
    assert {net["_target_"] for net in nets.values()} == {"medzoo.models.GenesisUNet"}
    assert stages["pretrained"]["lightning_module"]["pretrained"] == "genesis"
    with torch.device("meta"):
        shapes = {
            name: {
                key: value.shape for key, value in instantiate(net, "net").state_dict().items() if "heads" not in key
            }
            for name, net in nets.items()
        }
    assert shapes["scratch"] == shapes["genesis"] == shapes["pretrained"]


@pytest.mark.parametrize("net", ["vit_tiny", "ghostnet", "resnet18", "resnet50", "resnet18_3d"])
def test_every_classifier_runs_in_the_default_demo(net, tmp_path):
    config = resolve(compose(tmp_path, f"lightning_module/net={net}"))
    assert config["lightning_module"]["net"]["num_classes"] == 2


def test_the_recipe_keeps_its_keys_of_its_own_choice(tmp_path):
    config = compose(tmp_path, DEMO, "lightning_module/net=monai")
    assert config.lightning_module.net.name == "resnet10"
    config = compose(tmp_path, DEMO, "lightning_module/optimizer=adamw")
    assert config.lightning_module.net.name == "resnet10"


def test_keys_of_the_old_network_may_still_be_named(tmp_path):
    words = ["lightning_module.net.widen_factor=0.1", "~lightning_module.net.widen_factor"]
    config = compose(tmp_path, DEMO, "lightning_module/net=vit_tiny", *words, "~lightning_module.net.no_max_pool")
    assert not {"widen_factor", "no_max_pool"} & {*config.lightning_module.net}


def test_another_datamodule_keeps_what_it_takes(tmp_path):
    config = compose(tmp_path, "experiment=medmnist_breast_demo", "datamodule=npz", "datamodule.file=x.npz")
    assert config.datamodule.batch_size == compose(tmp_path, "experiment=medmnist_breast_demo").datamodule.batch_size
    assert not {"counts", "name"} & {*config.datamodule}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("callbacks.best.verbose=true", True),
        ("trainer.enable_progress_bar=false", False),
        ("lightning_module.optimizer.amsgrad=true", True),
        ("datamodule.drop_last=true", True),
        ("logger.csv.step=3", 3),
        ("lightning_module.criterion.class_weight=[1,2]", [1, 2]),
    ],
)
def test_an_argument_that_a_class_takes_can_be_set(word, value, tmp_path):
    config = compose(tmp_path, DEMO, word)
    assert OmegaConf.select(config, word.split("=")[0]) == value


def test_an_argument_of_a_callback_that_only_the_class_lists_reaches_a_stage(tmp_path):
    words = ["experiment=hematoma_classification_demo", "callbacks.patients.resamples=10"]
    assert make_plan(compose(tmp_path, *words)).stages[""]["callbacks"]["patients"]["resamples"] == 10


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["callbacks.best.verbos=true"], "callbacks.best.verbos: no such key; did you mean 'verbose'?"),
        (["lightning_module.net.drop_rate=0.1"], "passes it to medzoo.models.monai"),
        (["callbacks.early_stopping.patience=3"], "choose one with callbacks/early_stopping=patience"),
        (["+callbacks.bst.verbose=true"], "callbacks.bst: has no _target_, so it would have no effect; did you mean"),
        (["expirement=hemexp_demo"], "expirement: no such key; did you mean 'experiment'?"),
        (["--experiment=hemexp"], "settings are written without dashes: experiment=hemexp"),
        (["--resum"], "--resum: no such flag; did you mean"),
        (["-m", "seed=1,2", "--cfg", "job"], "--cfg shows the config of one run: leave out -m"),
        (["--resolve"], "--resolve belongs to --cfg"),
        (["list"], "cannot read 'list': settings are written key=value"),
        (["datamodule.root=/my (scans)"], "quote the value, and all of it for the shell: 'datamodule.root=\"/my (sc"),
        (["datamodule.root=/a,b"], "a text 'datamodule.root=\"/a,b\"'"),
        (["experiment=hemexp_demo", "lightning_module/optimizer=sgd"], "this run has several stages; say which with"),
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_is_one_line(words, told):
    done = call_verb("train", *words)
    assert (done.code, len(done.error)) == (2, 1), done.output
    assert told in done.error[0]


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["-m", "hydra/launcher=joblib", "seed=1,2"], "parallel"),
        (["-m", "hydra/launcher=slurm", "seed=1,2"], "slurm"),
        (["-m", "search=optuna"], "optuna"),
    ],
)
def test_a_missing_launcher_or_sweeper_names_its_extra(words, extra):
    done = call_verb("train", *words)
    if done.code == 0:
        pytest.skip(f"the extra `{extra}` is installed")
    assert (done.code, len(done.error)) == (2, 1), done.output
    assert f"pip install 'lightning-medzoo[{extra}]'" in done.error[0]


def test_quoted_paths_are_read(tmp_path):
    folder = tmp_path / "my (scans), 2=b"
    assert compose(tmp_path, DEMO, f'datamodule.root="{folder}"').datamodule.root == str(folder)
    assert Path(compose(tmp_path, DEMO, f"datamodule.root='{folder}'").datamodule.root) == folder
