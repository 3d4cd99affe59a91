"""Predict new data with a checkpoint: what `predict.py` and `medzoo.predict` share."""

import inspect
from pathlib import Path
from typing import Any

import lightning as L

from medzoo.runtime.build import instantiate, make_trainer
from medzoo.runtime.checkpoints import checkpoint
from medzoo.runtime.checkpoints.matching import check_cases, match
from medzoo.runtime.contracts import DataModule, TakesOptions
from medzoo.runtime.errors import UserError, data_errors, user_errors

__all__ = ["pointed_at", "predict", "set_options"]


def predict(ckpt_path: str | Path, input: str | Path, options: dict[str, Any] | None = None, **trainer: Any) -> Any:
    """Return what `predict.py` writes to a file.

    Args:
        ckpt_path: A checkpoint.
        input: An image, a volume, a folder of them, or an npz, as its datamodule reads.
        options: Arguments of `set_prediction` of the module, such as `{"samples": 32}`.
        **trainer: Arguments of `lightning.Trainer`, such as `accelerator` or `precision`.

    Returns:
        What `predict_step` returned, a list over batches.

    Raises:
        UserError: If the checkpoint or the input cannot be read.
    """
    content = checkpoint.read(ckpt_path)
    config = checkpoint.trusted_config(content, ckpt_path)
    module = checkpoint.rebuild(config, content, ckpt_path)
    set_options(module, options or {})
    datamodule = pointed_at(config, content, input, module)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    arguments = {"_target_": "lightning.Trainer", "devices": 1, **quiet, **trainer}
    with data_errors():
        return make_trainer(arguments, Path.cwd()).predict(module, datamodule)


def set_options(module: L.LightningModule, options: dict[str, Any]) -> None:
    """Pass the options of a prediction to the module.

    Raises:
        UserError: If the module does not take one, or a value is out of range.
    """
    known = inspect.signature(module.set_prediction).parameters if isinstance(module, TakesOptions) else {}
    for name in options:
        if name not in known:
            raise UserError(f"{name}: this model takes no {name}; leave it out")
    if options and isinstance(module, TakesOptions):
        with user_errors():
            module.set_prediction(**options)


def pointed_at(
    config: dict[str, Any], content: dict[str, Any], path: str | Path, module: L.LightningModule
) -> DataModule:
    """The datamodule of a checkpoint with new data, which are read here, so that errors come early."""
    datamodule: DataModule = instantiate(config["datamodule"], "datamodule")
    match(datamodule, content["medzoo"], test=False)
    with user_errors("input"):
        datamodule.set_predict_input(path)
        check_cases(module, datamodule, "predict")
    return datamodule
