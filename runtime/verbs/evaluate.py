"""`evaluate.py`: test a checkpoint again, on its own data or on other data of the same layout."""

import logging
from pathlib import Path

import lightning as L
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from medzoo.runtime.build import instantiate_all, make_datamodule, make_trainer, resolve
from medzoo.runtime.checkpoints import checkpoint
from medzoo.runtime.checkpoints.matching import check_cases, match, waiting
from medzoo.runtime.errors import UserError, data_errors, user_errors
from medzoo.runtime.output import report, run_folder
from medzoo.runtime.training.start import try_out

__all__ = ["evaluate"]

log = logging.getLogger(__name__)


def evaluate(config: DictConfig) -> None:
    """Test the module in `ckpt_path` and write a run folder with metrics, figures, predictions and report.

    Args:
        config: As composed from `conf/evaluate.yaml`; `datamodule.*` and `lightning_module.*` override what the
            checkpoint was trained with.

    Raises:
        UserError: If an input is wrong.
    """
    run = Path(HydraConfig.get().runtime.output_dir)
    if run_folder.is_first_process() and (run / "config.yaml").is_file():
        raise UserError(f"{run} holds another run: name another hydra.run.dir, or leave it out for a new folder")
    given = resolve(config)
    content = checkpoint.read(given["ckpt_path"])
    merged = checkpoint.with_overrides(checkpoint.trusted_config(content, given["ckpt_path"]), given)
    L.seed_everything(merged["seed"], workers=True, verbose=False)
    datamodule = make_datamodule({**merged, **{key: given[key] for key in ("store_dir", "workers", "trainer")}})
    module = checkpoint.rebuild(merged, content, given["ckpt_path"])
    match(datamodule, content["medzoo"], test=True)
    with user_errors("datamodule"):
        datamodule.prepare_data()
        if missing := waiting(datamodule):
            raise UserError(missing)
        datamodule.setup("test")
        check_cases(module, datamodule, "test")
    try_out(module, datamodule.test_dataloader(), ["predict_step"])
    run_folder.write_start(run, merged, datamodule.split, phantom=datamodule.phantom)
    logger = [built(save_dir=run) for built in instantiate_all({"csv": given["logger"]}, "logger")]
    callbacks = instantiate_all(merged["callbacks"], "callbacks")
    trainer = make_trainer(given["trainer"], run, callbacks=callbacks, logger=logger, enable_checkpointing=True)
    with data_errors():
        trainer.test(module, datamodule, verbose=False)
    if trainer.is_global_zero:
        if datamodule.phantom:
            log.info("phantom images, as in training; for your own set datamodule=<name> datamodule.root=<folder>")
        report.finish(run, {name: float(value) for name, value in trainer.callback_metrics.items()})
