"""The verbs, called in this process on configs that are composed once: a few hundred bad inputs in a few minutes."""

import contextlib
import functools
import hashlib
import io
import logging
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from PIL import Image

from medzoo.runtime.checkpoints.matching import known_of
from medzoo.runtime.errors import UserError
from medzoo.runtime.plan import make_plan
from medzoo.runtime.training.stage import Stage
from medzoo.runtime.verbs import train
from medzoo.runtime.verbs.predict import predict
from medzoo.runtime.verbs.prepare import prepare
from tests.bad_input.layouts import Layout
from tests.conftest import compose

QUICK = ["trainer.accelerator=cpu", "trainer.max_epochs=1", "+trainer.limit_train_batches=1",
         "+trainer.limit_val_batches=1", "+trainer.limit_test_batches=1", "logger=csv_only",
         "callbacks.progress=null"]  # fmt: skip


class Begun(Exception):
    """All was built and tried out: training would begin."""


@dataclass
class Told:
    """What a verb said: its one line, empty where all went well, and the log."""

    error: str
    log: str


def call(verb: str, layout: Layout, root: Path, work: Path, checkpoint: Path | None = None) -> Told:
    """Call a verb on a data set.

    Args:
        verb: `train`, `prepare` or `predict`.
        layout: Of the data.
        root: Folder of the data.
        work: Where the verb writes, in `run` and `out`.
        checkpoint: To predict with.

    Raises:
        Exception: Whatever the verb would show with a traceback.
    """
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    root_logger = logging.getLogger()
    root_logger.addHandler(handler)
    level = root_logger.level
    root_logger.setLevel(logging.INFO)
    told = ""
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            _VERBS[verb](layout, root, work, checkpoint)
    except UserError as error:  # `medzoo.runtime.cli.main` prints it and ends with exit code 2
        told = str(error)
    except Begun:
        pass
    finally:
        root_logger.removeHandler(handler)
        root_logger.setLevel(level)
    return Told(told, said.getvalue())


def _train(layout: Layout, root: Path, work: Path, _: Path | None) -> None:
    def begun(*_: Any) -> None:
        raise Begun

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_run", begun)
        train.train(_config(layout, root, work / "run"))


def _prepare(layout: Layout, root: Path, work: Path, _: Path | None) -> None:
    config = _config(layout, root, work / "run")
    if "train" in layout.verbs:
        data = [*make_plan(config).stages.values()][-1]["datamodule"]
        config = OmegaConf.create({"check": None, "datamodule": data, "preparation": None})
    prepare(config)


def _predict(layout: Layout, root: Path, work: Path, checkpoint: Path | None) -> None:
    config = deepcopy(_composed("predict", "trainer.accelerator=cpu", "callbacks.progress=null"))
    config.ckpt_path, config.input, config.output = str(checkpoint), str(root / layout.input), str(work / "out")
    predict(config)


_VERBS = {"train": _train, "prepare": _prepare, "predict": _predict}


def _config(layout: Layout, root: Path, run: Path) -> DictConfig:
    alone = "train" not in layout.verbs
    words = [*layout.words, f"{layout.root}=nowhere"]
    config = deepcopy(
        _composed("prepare", *words, *["preparation.output=x"] * ("preparation=head_ct" in words))
        if alone
        else _composed("train", *QUICK, *words)
    )
    OmegaConf.update(config, layout.root, str(root / layout.place))
    run.mkdir(parents=True, exist_ok=True)
    hydra: Any = HydraConfig.instance().cfg
    with read_write(hydra.hydra), open_dict(config):
        hydra.hydra.runtime.output_dir = str(run)
        if config.get("preparation"):
            config.preparation.output = str(run.parent / "out")
    return config


@functools.cache
def _all(name: str, words: tuple[str, ...]) -> tuple[DictConfig, Any]:
    config = compose(Path("nowhere"), *words, config_name=name)
    return config, HydraConfig.instance().cfg


def _composed(name: str, *words: str) -> DictConfig:
    config, hydra = _all(name, words)
    HydraConfig.instance().cfg = hydra
    return config


def checkpoint_of(layout: Layout, root: Path, work: Path) -> Path:
    """A checkpoint of a model of such data: untrained, or trained where all of the model is fitted."""
    config = _config(layout, root, work)
    with open_dict(config):
        config.callbacks = {name: one for name, one in config.callbacks.items() if name in ("best", "last_epoch")}
    plain = make_plan(config).stages
    if layout.fitted:
        train.train(config)
        (*_, (last, each)) = plain.items()
        return work / last / "checkpoints" / f"{each['test_checkpoint']}.ckpt"
    ((name, each),) = plain.items()
    stage = Stage(name, each, work)
    stage.build()
    stage.prepare()
    known = {"config": stage.config, **known_of(stage.datamodule)}
    torch.save({"state_dict": stage.module.state_dict(), "medzoo": known}, work / "good.ckpt")
    return work / "good.ckpt"


def hashes(folder: Path) -> dict[str, str]:
    """Of all that lies below a folder, its content; of links, where they lead."""
    found = {}
    for path in sorted(folder.rglob("*")):
        what = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = hashlib.sha256(what).hexdigest()
    return found


def results(work: Path) -> dict[str, Any]:
    """What `predict` wrote in `work`: text of tables, arrays of images."""
    found: dict[str, Any] = {}
    for file in [*sorted(path for path in work.glob("out*/**/*") if path.is_file()), work / "out"]:
        name = str(file.relative_to(work))
        if name.lower().endswith(".nii.gz"):
            found[name] = np.asarray(nib.load(file).dataobj).squeeze()
        elif file.suffix == ".png":
            found[name] = np.asarray(Image.open(file))
        elif file.suffix == ".csv" or (file.is_file() and not file.suffix):
            found[name] = file.read_text()
    return found
