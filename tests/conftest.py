"""Shared by all tests: small runs, the real data where there are any, and one thread a process."""

import atexit
import contextlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # two test processes with two threads each would fight over two cores
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
if "MEDZOO_STORE" not in os.environ:  # one for all test processes, which inherit it
    os.environ["MEDZOO_STORE"] = tempfile.mkdtemp(prefix="medzoo_store_")
    atexit.register(shutil.rmtree, os.environ["MEDZOO_STORE"], ignore_errors=True)

import hydra
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import open_dict

from medzoo.runtime import cli
from medzoo.runtime.composing.resolvers import register_resolvers

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = Path(os.environ.get("MEDZOO_REAL_DATA", ROOT.parent / "shared" / "data"))
EXPERIMENTS = sorted(file.stem for file in (ROOT / "conf" / "experiment").glob("*.yaml"))

# A run of a few seconds: the demo with less of everything.
SMALL = [
    "experiment=medmnist_classification_demo",
    "datamodule.counts=[48,24,24]",
    "datamodule.size=12",
    "datamodule.batch_size=8",
    "lightning_module.net.widen_factor=0.125",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
    "callbacks.figures.resamples=20",
    "logger=csv_only",
    "workers=0",
]

# A transformer of one layer in place of the demo's network: no batch statistics.
TINY_VIT = [
    "lightning_module/net=vit_tiny",
    "~lightning_module.net.conv1_t_size",
    "~lightning_module.net.no_max_pool",
    "~lightning_module.net.widen_factor",
    "lightning_module.net.name=vit_tiny_patch16_224",
    "+lightning_module.net.depth=1",
]

torch.set_num_threads(1)
register_resolvers()


def pytest_xdist_make_scheduler(config, log):
    """Keep the tests of a file on one core, where they share fixtures, but for the longest, which share none."""
    from xdist.scheduler import LoadScopeScheduling

    class Scopes(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return nodeid if nodeid.startswith("tests/test_experiments.py") else super()._split_scope(nodeid)

    return Scopes(config, log)


@dataclass
class Finished:
    """A verb that ran in a process of its own."""

    code: int
    output: str

    @property
    def error(self) -> list[str]:
        """Lines after `error: `."""
        return self.output.partition("error: ")[2].strip().splitlines()


def run_verb(verb: str, *arguments: str, **environment: str) -> Finished:
    """Run a verb as a user does, from the root of the repository."""
    done = subprocess.run(
        [sys.executable, f"{verb}.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
    )
    return Finished(done.returncode, done.stdout)


def call_verb(verb: str, *arguments: str) -> Finished:
    """Run a verb in this process: no seconds of imports."""
    GlobalHydra.instance().clear()
    output = io.StringIO()
    code = 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", [str(ROOT / f"{verb}.py"), *arguments])
        patch.setattr(logging.root, "handlers", [*logging.root.handlers])  # Hydra's write into the run folder
        try:
            cli.main(verb)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Finished(code, output.getvalue())


def train(run: Path, *overrides: str, verb: Callable[..., Finished] = call_verb) -> dict[str, float]:
    """Train a small run into a folder and return its metrics; several processes need `verb=run_verb`."""
    data = f"datamodule.root={run.parent / 'data'}"
    done = verb("train", *SMALL, data, f"hydra.run.dir={run}", *overrides)
    assert done.code == 0, done.output
    return json.loads((run / "metrics.json").read_text())


def compose(run: Path, *overrides: str, config_name: str = "train"):
    """The config of a run, as a verb gets it, with Hydra's own part in place."""
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = hydra.compose(config_name, list(overrides), return_hydra_config=True)
    with open_dict(config):
        config.hydra.runtime.output_dir = str(run)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """Folder of one finished small run."""
    run = tmp_path_factory.mktemp("trained") / "run"
    train(run)
    return run


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> Path:
    """Folder of the phantoms of all experiments: each is made once."""
    return tmp_path_factory.mktemp("phantoms")


@pytest.fixture
def float64(monkeypatch):
    """All in float64, also where a network asks for float32, so that agreement shows to the last digits."""
    before, double = torch.get_default_dtype(), torch.Tensor.double
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", lambda x: x if x.is_floating_point() else double(x))
    yield
    torch.set_default_dtype(before)


@pytest.fixture
def medmnist_root() -> Path:
    """Folder with real MedMNIST files."""
    root = REAL_DATA / "medmnist"
    if not root.is_dir():
        pytest.skip(f"no real MedMNIST files in {root}; name a folder with MEDZOO_REAL_DATA")
    return root


@pytest.fixture(scope="session")
def ge() -> Path:
    """Folder of a real head CT, a GE series with a tilted gantry and uneven slices."""
    folder = REAL_DATA / "head-ct" / "dcm_qa_ct_GE"
    if not folder.is_dir():
        pytest.skip(f"no real series in {folder}; name the folder above `head-ct` with MEDZOO_REAL_DATA")
    return folder
