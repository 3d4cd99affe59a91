"""Every experiment in `conf/experiment` is composed, checked, built, run for a batch, saved, loaded and resumed."""

import lightning as L
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

import runtime
from runtime.build import instantiate, instantiate_all, make_trainer
from runtime.checkpoint import EmbedConfig
from runtime.stages import resolve_stages
from tests.conftest import EXPERIMENTS, ROOT, compose

PLAN_2D = (
    "datamodule.plan={spacing:[1,1],patch:[32,32],batch_size:2,features:[8,8],strides:[[1,1],[2,2]],"
    "kernels:[[3,3],[3,3]]}"
)
LIVER = [
    "datamodule.phantom.patients=12",
    "datamodule.phantom.size=[8,32,32]",
    "datamodule.phantom.workers=1",
    "datamodule.folds=2",
    "datamodule.batches=1",
    "datamodule.plan={spacing:[20,11,11],patch:[8,32,32],batch_size:2,features:[8,8],strides:[[1,1,1],[2,2,2]],"
    "kernels:[[3,3,3],[3,3,3]]}",
]
GENESIS = [f"stages.genesis.datamodule.{word}" for word in ("split=null", "folds=2", "crops=1", "corrupt.blocks=9")]
# By the beginning of an experiment's name: what makes its phantom small, and what its real data cannot do without.
SMALLER = {
    "medmnist_cvae": [
        "datamodule.counts=[16,16,16]",
        "datamodule.batch_size=8",
        "lightning_module.net.channels=[2,4,4]",
        "lightning_module.net.strides=[1,2,2]",
        "lightning_module.net.kernels=[3,3,3]",
    ],
    "medmnist": ["datamodule.counts=[16,16,16]", "datamodule.batch_size=8"],
    "hemexp": [
        "datamodule.patients={Aare:4,Birs:2,Doubs:2,Emme:4,Kander:4}",
        "datamodule.cache_dir={folder}",
        "stages.autoencoder.lightning_module.net.channels=[32,32,32]",
    ],
    "hlhs": [
        "datamodule.phantom={normal:20,hypoplastic:12,views:1,size:64}",
        "datamodule.image_size=[32,32]",
        "datamodule.batch_size=8",
        "lightning_module.net.channels=[8,16]",
    ],
    "nomogram": ["datamodule.phantom={normal:40,hypoplastic:20}"],
    "liver_slices_pretraining": [
        "datamodule.phantom.cohort.patients=4",
        "datamodule.phantom.cohort.size=[8,32,32]",
        "datamodule.phantom.cohort.workers=1",
        "datamodule.folds=2",
        "datamodule.batches=1",
        *GENESIS,
        PLAN_2D,
        "stages.genesis.datamodule.phantom=${stages.scratch.datamodule.phantom}",
        "stages.genesis.datamodule.patch=[32,32]",
        "stages.genesis.datamodule.sources.ct.spacing=null",
    ],
    "liver_pretraining": [*LIVER, *GENESIS, "stages.genesis.datamodule.patch=[8,32,32]"],
    "liver_segmentation": LIVER,
    "liver_translation": [
        *LIVER,
        "stages.translation.datamodule.batches=1",
        "stages.translation.lightning_module.to_b.channels=4",
        "stages.translation.lightning_module.to_b.blocks=1",
        "stages.translation.lightning_module.judge_a.channels=4",
        "stages.translation.lightning_module.judge_a.num_layers_d=2",
    ],
    "hematoma_classification": [
        "datamodule.phantom.patients={Aare:30,Birs:2,Doubs:20,Kander:20}",
        "datamodule.cohort={folder}",
        "datamodule.image_size=32",
        "datamodule.batch_size=8",
    ],
    "hematoma_synthesis": [
        "datamodule.phantom.patients={Aare:30,Birs:2,Doubs:20,Kander:20}",
        "datamodule.cohort={folder}",
        "datamodule.image_size=32",
        "datamodule.batch_size=4",
        "callbacks.synthetic.count=4",
    ],
    "hematoma_slices_segmentation": [
        "datamodule.patients={Aare:4}",
        "datamodule.folds=2",
        "datamodule.batches=1",
        PLAN_2D,
    ],
    "hematoma_segmentation": [
        "datamodule.patients={Aare:4,Kander:1}",
        "datamodule.folds=2",
        "datamodule.batches=1",
        "datamodule.plan={spacing:[5,3,3],patch:[8,32,32],batch_size:2,features:[8,8],strides:[[1,1,1],[2,2,2]],"
        "kernels:[[3,3,3],[3,3,3]]}",
    ],
    "liver_": [
        "datamodule.phantom.patients=40",
        "datamodule.phantom.size=[16,32,32]",
        "datamodule.phantom.tiles=2",
        "datamodule.phantom.tile_size=32",
        "datamodule.spatial_size=[16,32,32]",
        "datamodule.tiles=2",
        "datamodule.tile_size=32",
        "datamodule.batch_size=8",
        "lightning_module/encoders=small",
        "lightning_module.dim=32",
    ],
    "hematoma": [
        "datamodule.phantom.patients={Aare:30,Birs:2,Doubs:20,Kander:20}",
        "datamodule.batches=1",
        "datamodule.plan={spacing:[5,3,3],patch:[8,64,64],batch_size:2,features:[8,8],strides:[[1,1,1],[2,2,2]],"
        "kernels:[[3,3,3],[3,3,3]]}",
        "stages.fold_1=null",
        *(f"stages.synthesis.datamodule.{word}" for word in ("masks=null", "image_size=32", "batch_size=4")),
        "stages.synthesis.callbacks.synthetic.count=4",
        *(f"stages.original.datamodule.{word}" for word in ("masks=null", "image_size=32", "batch_size=8")),
        "stages.semibalanced=null",
        "stages.balanced=null",
    ],
}
# By a whole name: what else a network of full size cannot do without on a CPU.
NARROWER = {
    "hemexp": ["stages.diffusion.lightning_module.diffusion.net.dim=16"],
    "hematoma_classification": ["lightning_module.net.name=vit_tiny_patch16_224"],
    "hematoma": [
        "stages.original.lightning_module.net.name=vit_tiny_patch16_224",
        *(f"stages.fold_{fold}=null" for fold in (2, 3, 4)),
    ],
}
NEEDED = {
    "nomogram": ["datamodule.file=x"],
    "hematoma_slices_segmentation": ["datamodule.root=x", PLAN_2D],
    "liver_slices_pretraining": ["datamodule.root=x", PLAN_2D],
    "liver_pretraining": ["datamodule.root=x"],
    "liver_segmentation": ["datamodule.root=x", LIVER[-1]],
    "liver_translation": ["datamodule.root=x", LIVER[-1]],
    "hematoma_": ["datamodule.root=x"],
    "hlhs": ["datamodule.root=x"],
    "hematoma": ["datamodule.root=x", "datamodule.val_hospitals=[a]", "datamodule.test_hospitals=[b]"],
    "liver_": ["datamodule.root=x", "datamodule.clinical={age_years:[18,100]}"],
    "hemexp": ["datamodule.root=x", "datamodule.val_hospitals=[a]", "datamodule.test_hospitals=[b]"],
}
ONE_BATCH = {
    "max_epochs": 2,
    "max_steps": -1,
    "limit_train_batches": 1,
    "limit_val_batches": 1,
    "check_val_every_n_epoch": 1,
    "val_check_interval": None,
}


def of(table, experiment):
    """What a table says of an experiment."""
    return next((words for start, words in table.items() if experiment.startswith(start)), [])


def small(experiment, folder):
    """Configs of an experiment's stages, made small, on the phantom of its demo: nothing is downloaded in a test."""
    compose(folder, f"experiment={experiment.removesuffix('_demo')}_demo")
    phantom = HydraConfig.get().runtime.choices["datamodule"]
    smaller = [word.replace("{folder}", str(folder)) for word in of(SMALLER, experiment)]
    smaller += NARROWER.get(experiment, [])
    data = [f"datamodule={phantom}", *smaller, f"datamodule.root={folder}", "logger=none"]
    configs = resolve_stages(compose(folder, f"experiment={experiment}", *data))
    for config in configs.values():
        config["trainer"] |= ONE_BATCH
        if "accumulate" in config["lightning_module"]:  # of modules that step by themselves
            config["lightning_module"]["accumulate"] = 1
    return configs


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Folder of the phantoms of all experiments: each is made once."""
    return tmp_path_factory.mktemp("phantoms")


def test_there_are_experiments_and_every_one_has_a_demo():
    assert "medmnist_classification" in EXPERIMENTS
    for name in EXPERIMENTS:
        assert name.endswith("_demo") or f"{name}_demo" in EXPERIMENTS, f"{name} has no demo"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_composes_as_written(experiment, tmp_path):
    needed = [] if experiment.endswith("_demo") else of(NEEDED, experiment)
    configs = [*resolve_stages(compose(tmp_path, f"experiment={experiment}", *needed)).values()]
    assert configs[-1]["optimized_metric"] == configs[-1]["monitor"], "sweeps never optimise a test metric"
    assert not any(config["monitor"].startswith("test/") for config in configs)


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name.endswith("_demo")])
def test_demo_inherits_from_its_experiment(experiment):
    text = (ROOT / "conf" / "experiment" / f"{experiment}.yaml").read_text()
    defaults = OmegaConf.create(text).defaults
    assert experiment.removesuffix("_demo") in defaults, "a demo inherits from its experiment"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_runs_saves_loads_and_resumes(experiment, phantoms, tmp_path):
    for stage, config in small(experiment, phantoms).items():
        check(config, tmp_path / stage)


def check(config, folder):
    """One stage of an experiment."""
    trained, trainer = fit(config, folder, stop_after=1)
    file = folder / "checkpoints" / "last.ckpt"
    trainer.save_checkpoint(file)

    content = torch.load(file, weights_only=True)
    assert not torch.serialization.get_unsafe_globals_in_checkpoint(file), "the checkpoint holds plain data only"
    assert content["medzoo"]["config"] == config
    loaded = runtime.load(file)
    for name, weight in content["state_dict"].items():
        assert torch.equal(loaded.state_dict()[name], weight), name

    _, resumed = fit(config, folder, file)
    assert resumed.global_step == 2 * trainer.global_step > 0
    assert all(torch.isfinite(weight).all() for weight in trained.parameters())


class StopAfter(L.Callback):
    """Ends training early, in the middle of its learning-rate schedule."""

    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch + 1 == self.epochs


def fit(config, folder, ckpt_path=None, stop_after=None):
    datamodule = instantiate(config["datamodule"], "datamodule")
    module = instantiate(config["lightning_module"], "lightning_module")
    callbacks = [EmbedConfig(config), *instantiate_all(config["callbacks"], "callbacks")]
    callbacks = [callback for callback in callbacks if type(callback).__name__ != "LearningRateMonitor"]
    callbacks.append(StopAfter(stop_after))
    trainer = make_trainer(config["trainer"], folder, callbacks=callbacks, logger=False)
    trainer.fit(module, datamodule, ckpt_path=ckpt_path, weights_only=True)
    return module, trainer
