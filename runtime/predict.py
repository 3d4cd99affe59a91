"""What `predict.py` does: a checkpoint and a path in, one CSV row for each image out."""

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from runtime import checkpoint
from runtime.build import instantiate, instantiate_all, make_trainer, resolve
from runtime.errors import user_errors
from runtime.evaluate import with_overrides

__all__ = ["predict", "predict_verb"]

log = logging.getLogger(__name__)


def predict(ckpt_path: str | Path, input: str | Path, **trainer: Any) -> Any:
    """Predict in Python what `predict.py` writes to a file.

    Args:
        ckpt_path: A checkpoint; nothing else of its training is needed.
        input: What its datamodule reads: an image, a volume, a folder of them, or an npz.
        **trainer: Arguments of `lightning.Trainer`, such as `accelerator` or `precision`.

    Returns:
        What `predict_step` returned, a list over batches: ids and probabilities.

    Raises:
        UserError: If the checkpoint or the input cannot be read.
    """
    content = checkpoint.read(ckpt_path)
    module = checkpoint.load(ckpt_path)
    datamodule = _datamodule(checkpoint.trusted_config(content, ckpt_path), content, input)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    options = {"_target_": "lightning.Trainer", "devices": 1, **quiet, **trainer}
    return make_trainer(options, Path.cwd()).predict(module, datamodule)


def predict_verb(config: DictConfig) -> None:
    """Predict on `input` with the module in `ckpt_path` and write `output`.

    Args:
        config: As composed from `conf/predict.yaml`.

    Raises:
        UserError: If something given is wrong; nothing has been written then.
    """
    given = resolve(config)
    content = checkpoint.read(given["ckpt_path"])
    merged = with_overrides(checkpoint.trusted_config(content, given["ckpt_path"]), given)
    datamodule = _datamodule(merged, content, given["input"])
    module = instantiate(merged["lightning_module"], "lightning_module")
    checkpoint.initialise(module, content, Path(given["ckpt_path"]))
    callbacks = instantiate_all(given["callbacks"], "callbacks")
    output = Path(given["output"])
    quiet = {"logger": False, "enable_checkpointing": False}
    trainer = make_trainer(given["trainer"], output.parent, callbacks=callbacks, **quiet)
    trainer.predict(module, datamodule, return_predictions=False)
    log.info("predictions: %s", output)


def _datamodule(config: dict[str, Any], content: dict[str, Any], path: str | Path) -> Any:
    """The datamodule of a checkpoint, pointed at new data; the data are read here, so that errors come early."""
    datamodule = instantiate(config["datamodule"], "datamodule")
    datamodule.load_state_dict(content["medzoo"]["datamodule"])
    with user_errors("input"):
        datamodule.set_predict_input(path)
    return datamodule
