"""Train a stage, finalize it, and test it with its best or last checkpoint."""

import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint

from medzoo.runtime.build import instantiate_all, make_trainer
from medzoo.runtime.checkpoints import checkpoint
from medzoo.runtime.contracts import Finalizes, Receives
from medzoo.runtime.errors import user_errors
from medzoo.runtime.output import run_folder
from medzoo.runtime.training.costs.cost import Cost
from medzoo.runtime.training.finalize import finalize
from medzoo.runtime.training.sharding import is_sharded
from medzoo.runtime.training.stage import Results, Stage
from medzoo.runtime.training.start import SameSchedule
from medzoo.runtime.training.strategy import warn_of_emulation

__all__ = ["fit"]

_JUDGED = ("test/", "development/")
"""Metrics that the test logs."""


def fit(stage: Stage, earlier: list[Stage]) -> dict[str, float]:
    """Train a stage, test it with the checkpoint that `test_checkpoint` names, and set `stage.trained`.

    Args:
        stage: Built.
        earlier: Finished stages; a module with a method `receive` gets their modules by name.

    Returns:
        Its metrics, flat names and values.
    """
    module, config = stage.module, stage.config
    L.seed_everything(config["seed"], workers=True, verbose=False)  # independent of what was built or trained before
    if isinstance(module, Receives):
        stage.check_handed_on(earlier)
        with user_errors("lightning_module"):
            module.receive(Results(earlier))
    cost = Cost()
    trainer = _trainer(stage, cost, SameSchedule())
    warn_of_emulation(stage.config["trainer"], trainer.strategy.root_device)
    try:
        began = time.monotonic()
        trainer.fit(module, stage.datamodule, ckpt_path=stage.start, weights_only=True)
        minutes = (time.monotonic() - began) / 60
        if is_sharded(module):
            module = stage.whole()
            module.trainer = trainer
        tested = _tested_checkpoint(trainer, config["test_checkpoint"])
        best = _tested_checkpoint(trainer, "best")
        if tested and best and best != tested and isinstance(module, Finalizes):  # users predict with either
            _finish(stage, trainer, best)
        stage.trained = _finish(stage, trainer, tested)
        metrics = _metrics(trainer)
        if config["test_checkpoint"] == "best":  # instead of the validation metrics of the last epoch
            metrics = {name: value for name, value in metrics.items() if not name.startswith("val/")}
            metrics |= _best_score(trainer)
        trainer.test(module, stage.datamodule, verbose=False)
        trainer.strategy.barrier()  # a later stage of another process reads this checkpoint
        metrics |= {name: value for name, value in _metrics(trainer).items() if name.startswith(_JUDGED)}
    except BaseException:
        _close_loggers(trainer, "failed")
        raise
    _close_loggers(trainer, "success")
    return (
        metrics
        | cost.metrics
        | {
            "fit/minutes": minutes,
            "fit/epochs": trainer.current_epoch,
            "fit/steps": trainer.global_step,
            "model/parameters": sum(parameter.numel() for parameter in module.parameters()),
        }
    )


def _trainer(stage: Stage, *extra: L.Callback) -> L.Trainer:
    config, run = stage.config, stage.folder.parent if stage.name else stage.folder
    group = "/".join(run.parts[-2:])
    name = "/".join(part for part in (group, stage.name) if part) + (" (phantom)" if stage.datamodule.phantom else "")
    step = checkpoint.read(stage.start)["global_step"] if stage.start else 0
    known: dict[str, Any] = {"csv": {"step": step}, "wandb": {"run_name": name, "config": config}}
    if stage.name and not ((config["logger"] or {}).get("wandb") or {}).get("group"):  # a sweep has a group already
        known["wandb"]["group"] = group
    loggers = [
        built(save_dir=stage.folder, **known.get(key, {}))
        for key, built in zip(config["logger"] or {}, instantiate_all(config["logger"], "logger"), strict=True)
    ]
    callbacks = [checkpoint.EmbedConfig(config), *extra, *instantiate_all(config["callbacks"], "callbacks")]
    if not loggers:  # Lightning's monitor refuses to run without one
        callbacks = [callback for callback in callbacks if not isinstance(callback, LearningRateMonitor)]
    trainer = {**config["trainer"], "strategy": stage.strategy}
    return make_trainer(trainer, stage.folder, callbacks=callbacks, logger=loggers)


def _metrics(trainer: L.Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def _tested_checkpoint(trainer: L.Trainer, which: str) -> Path | None:
    """The checkpoint to test; None if none was written: then the current weights are tested."""
    if which == "last":
        last = Path(trainer.default_root_dir) / run_folder.LAST
        return last if last.is_file() else None
    best = _monitoring(trainer)
    return Path(best.best_model_path) if best and best.best_model_path else None


def _finish(stage: Stage, trainer: L.Trainer, path: Path | None) -> Path | None:
    """Finalize the module with the weights of a checkpoint, or the current ones, and save the result with them."""
    module = stage.module
    if path:
        checkpoint.initialise(module, checkpoint.read(path), path)
    finalize(trainer, module, stage.datamodule)
    path = path or _untrained_checkpoint(trainer, stage.config["test_checkpoint"])
    if path and trainer.is_global_zero:
        checkpoint.refresh(path, module)
    return path


def _untrained_checkpoint(trainer: L.Trainer, which: str) -> Path | None:
    """Save a checkpoint of a module that is only fitted: without training no callback writes one."""
    if trainer.max_epochs != 0 or not trainer.checkpoint_callbacks:
        return None
    path = Path(trainer.default_root_dir) / (run_folder.BEST if which == "best" else run_folder.LAST)
    trainer.save_checkpoint(path, weights_only=False)
    return path


def _best_score(trainer: L.Trainer) -> dict[str, float]:
    """The monitored metric at the best checkpoint, instead of that of the last epoch."""
    best = _monitoring(trainer)
    if best is None or best.monitor is None or best.best_model_score is None:
        return {}
    return {best.monitor: float(best.best_model_score)}


def _monitoring(trainer: L.Trainer) -> ModelCheckpoint | None:
    """The callback that keeps the best checkpoint."""
    return next((c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.monitor), None)


def _close_loggers(trainer: L.Trainer, status: str) -> None:
    for logger in trainer.loggers:
        logger.finalize(status)
    if any(type(logger).__name__ == "WandbLogger" for logger in trainer.loggers):
        import wandb

        wandb.finish(exit_code=int(status != "success"))
