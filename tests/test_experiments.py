"""Every experiment in `conf/experiment` is composed, checked, built, run for a batch, saved, loaded and resumed."""

import lightning as L
import pytest
import torch
from omegaconf import OmegaConf

import runtime
from runtime.build import instantiate, instantiate_all, make_trainer, resolve
from runtime.checkpoint import EmbedConfig
from tests.conftest import EXPERIMENTS, ROOT, compose

BATCH = ["trainer.max_epochs=2", "trainer.limit_train_batches=1", "trainer.limit_val_batches=1", "logger=none"]


def small(experiment, folder):
    """Overrides that make an experiment small, on a phantom of its data: nothing is downloaded in a test."""
    sizes = ["datamodule.counts=[16,16,16]", "datamodule.batch_size=8", f"datamodule.root={folder}"]
    return [f"experiment={experiment}", "datamodule=medmnist_phantom", *sizes, *BATCH]


def test_there_are_experiments_and_every_one_has_a_demo():
    assert "medmnist_classification" in EXPERIMENTS
    for name in EXPERIMENTS:
        assert name.endswith("_demo") or f"{name}_demo" in EXPERIMENTS, f"{name} has no demo"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_composes_as_written(experiment, tmp_path):
    config = resolve(compose(tmp_path, f"experiment={experiment}"))
    assert config["optimized_metric"] == config["monitor"], "sweeps never optimise a test metric"
    assert not config["optimized_metric"].startswith("test/")


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name.endswith("_demo")])
def test_demo_inherits_from_its_experiment(experiment):
    text = (ROOT / "conf" / "experiment" / f"{experiment}.yaml").read_text()
    defaults = OmegaConf.create(text).defaults
    assert experiment.removesuffix("_demo") in defaults, "a demo inherits from its experiment"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_experiment_runs_saves_loads_and_resumes(experiment, tmp_path):
    config = resolve(compose(tmp_path, *small(experiment, tmp_path)))
    trained, trainer = fit(config, tmp_path, stop_after=1)
    file = tmp_path / "checkpoints" / "last.ckpt"
    trainer.save_checkpoint(file)

    content = torch.load(file, weights_only=True)
    assert not torch.serialization.get_unsafe_globals_in_checkpoint(file), "the checkpoint holds plain data only"
    assert content["medzoo"]["config"] == config
    loaded = runtime.load(file)
    for name, weight in content["state_dict"].items():
        assert torch.equal(loaded.state_dict()[name], weight), name

    _, resumed = fit(config, tmp_path, file)
    assert (trainer.global_step, resumed.global_step) == (1, 2)
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
