"""`predict.py`: predict new data with a checkpoint; the writer of its training writes the result."""

import logging
from pathlib import Path

from omegaconf import DictConfig

from medzoo.runtime.build import instantiate, instantiate_all, make_trainer, resolve
from medzoo.runtime.checkpoints import checkpoint
from medzoo.runtime.checkpoints.prediction import pointed_at, set_options
from medzoo.runtime.contracts import Begins, Writer
from medzoo.runtime.errors import UserError, data_errors, user_errors
from medzoo.runtime.training.ranks import workers

__all__ = ["predict"]

log = logging.getLogger(__name__)

_OPTIONS = ("expansion", "perturb", "prevalence", "samples")  # of conf/predict.yaml, for models that take them
_WRITER = {"_target_": "medzoo.callbacks.PredictionWriter"}


def predict(config: DictConfig) -> None:
    """Predict on `input` with the module in `ckpt_path` and write `output`; null leaves its place to the writer.

    The writer is the callback `predict_writer` of the training config (`runtime/contracts/`, `Writer` and `Begins`).

    Args:
        config: As composed from `conf/predict.yaml`.

    Raises:
        UserError: If an input is wrong. Predictions that were written before stay.
    """
    given = resolve(config)
    content = checkpoint.read(given["ckpt_path"])
    merged = checkpoint.with_overrides(checkpoint.trusted_config(content, given["ckpt_path"]), given)
    writer_config = merged.get("predict_writer", _WRITER)
    if writer_config is None:
        raise UserError(f"{given['ckpt_path']}: this model does not predict; its test wrote its results")
    module = checkpoint.rebuild(merged, content, given["ckpt_path"])
    asked = {name: given[name] for name in _OPTIONS if given[name] not in (None, {})}
    set_options(module, asked)
    datamodule = pointed_at(merged, content, given["input"], module)
    if datamodule.phantom:
        log.warning("%s was trained on phantoms: its predictions for people mean nothing", given["ckpt_path"])
    writer: Writer = instantiate(writer_config, "predict_writer", output=given["output"])
    if isinstance(writer, Begins):  # it looks at earlier predictions
        with user_errors("output"):
            writer.begin(module, datamodule, {"checkpoint": str(given["ckpt_path"]), **asked})
    callbacks = [*instantiate_all(given["callbacks"], "callbacks"), writer]
    quiet = {"logger": False, "enable_checkpointing": False}
    trainer = make_trainer(given["trainer"], Path.cwd(), callbacks=callbacks, **quiet)
    datamodule.workers = workers(given)
    with data_errors():  # cases are read one by one
        trainer.predict(module, datamodule, return_predictions=False)
    if trainer.is_global_zero:
        log.info("predictions: %s", writer.written)
