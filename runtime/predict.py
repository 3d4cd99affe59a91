"""What `predict.py` does: a checkpoint and a path in; out comes what the writer of its training writes."""

import inspect
import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from runtime import checkpoint
from runtime.build import instantiate, instantiate_all, make_trainer, resolve
from runtime.errors import UserError, data_errors, user_errors
from runtime.matching import check_cases, match

__all__ = ["predict", "predict_verb"]

log = logging.getLogger(__name__)

_OPTIONS = ("expansion", "perturb", "prevalence", "samples")  # of conf/predict.yaml, for models that take them
_WRITER = {"_target_": "callbacks.PredictionWriter"}


def predict(ckpt_path: str | Path, input: str | Path, options: dict[str, Any] | None = None, **trainer: Any) -> Any:
    """Predict in Python what `predict.py` writes to a file.

    Args:
        ckpt_path: A checkpoint; nothing else of its training is needed.
        input: What its datamodule reads: an image, a volume, a folder of them, or an npz.
        options: What `set_prediction` of the module takes, such as `{"samples": 32}`.
        **trainer: Arguments of `lightning.Trainer`, such as `accelerator` or `precision`.

    Returns:
        What `predict_step` returned, a list over batches.

    Raises:
        UserError: If the checkpoint or the input cannot be read.
    """
    content = checkpoint.read(ckpt_path)
    config = checkpoint.trusted_config(content, ckpt_path)
    module = checkpoint.rebuild(config, content, ckpt_path)
    _set_options(module, options or {})
    datamodule = _datamodule(config, content, input, module)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    arguments = {"_target_": "lightning.Trainer", "devices": 1, **quiet, **trainer}
    with data_errors():
        return make_trainer(arguments, Path.cwd()).predict(module, datamodule)


def predict_verb(config: DictConfig) -> None:
    """Predict on `input` with the module in `ckpt_path` and write `output`, where null is the writer's own choice.

    The writer is the callback `predict_writer` of the training config. It takes `output`, and names the file or folder
    that it wrote in its attribute `written`. One that goes on where it stopped is told what makes its predictions, by
    `begin(module, datamodule, made_by)`.

    Args:
        config: As composed from `conf/predict.yaml`.

    Raises:
        UserError: If something given is wrong; nothing has been written then.
    """
    given = resolve(config)
    content = checkpoint.read(given["ckpt_path"])
    merged = checkpoint.with_overrides(checkpoint.trusted_config(content, given["ckpt_path"]), given)
    writer_config = merged.get("predict_writer", _WRITER)
    if writer_config is None:
        raise UserError(f"{given['ckpt_path']}: this model predicts nothing from images; its test wrote what it makes")
    module = checkpoint.rebuild(merged, content, given["ckpt_path"])
    asked = {name: given[name] for name in _OPTIONS if given[name] not in (None, {})}
    _set_options(module, asked)
    datamodule = _datamodule(merged, content, given["input"], module)
    if datamodule.phantom:
        log.warning("%s was trained on phantoms: what it says of people means nothing", given["ckpt_path"])
    writer = instantiate(writer_config, "predict_writer", output=given["output"])
    if hasattr(writer, "begin"):  # looks at what is in the folder already
        with user_errors("output"):
            writer.begin(module, datamodule, {"checkpoint": str(given["ckpt_path"]), **asked})
    callbacks = [*instantiate_all(given["callbacks"], "callbacks"), writer]
    quiet = {"logger": False, "enable_checkpointing": False}
    trainer = make_trainer(given["trainer"], Path.cwd(), callbacks=callbacks, **quiet)
    with data_errors():
        trainer.predict(module, datamodule, return_predictions=False)
    if trainer.is_global_zero:
        log.info("predictions: %s", writer.written)


def _set_options(module: Any, options: dict[str, Any]) -> None:
    """Hand what the command says of the prediction to a module that takes it."""
    known = inspect.signature(module.set_prediction).parameters if hasattr(module, "set_prediction") else {}
    for name in options:
        if name not in known:
            raise UserError(f"{name}: this model takes no {name}; leave it out")
    if options:
        with user_errors():
            module.set_prediction(**options)


def _datamodule(config: dict[str, Any], content: dict[str, Any], path: str | Path, module: Any) -> Any:
    """The datamodule of a checkpoint, pointed at new data; the data are read here, so that errors come early."""
    datamodule = instantiate(config["datamodule"], "datamodule")
    match(datamodule, content["medzoo"], test=False)
    with user_errors("input"):
        datamodule.set_predict_input(path)
        check_cases(module, datamodule, "predict")
    return datamodule
