"""What `train.py` does: fit, test with the best checkpoint, and write the run folder."""

import json
import logging
import math
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.syntax import Syntax

from runtime import checkpoint, report, run_folder
from runtime.build import instantiate, instantiate_all, make_trainer, resolve
from runtime.check import did_you_mean
from runtime.errors import UserError, user_errors

__all__ = ["finish", "train", "try_out"]

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float | None:
    """Train, test and report one run.

    Args:
        config: As composed by Hydra from `conf/train.yaml`.

    Returns:
        The value of `optimized_metric`, for sweeps.

    Raises:
        UserError: If something given is wrong; nothing has been trained then.
    """
    run = Path(HydraConfig.get().runtime.output_dir)
    plain = resolve(config)
    L.seed_everything(plain["seed"], workers=True, verbose=False)
    torch.set_float32_matmul_precision("high")  # tensor cores for float32 products; changes nothing on a CPU

    datamodule = instantiate(plain["datamodule"], "datamodule")
    module = instantiate(plain["lightning_module"], "lightning_module")
    _check_names(plain, module)
    _check_folder(run, plain["auto_resume"])
    start = _starting_point(plain, run, module)
    _prepare(datamodule, module, plain, run)
    trainer = _trainer(plain, run, datamodule, start)
    try:
        began = time.monotonic()
        trainer.fit(module, datamodule, ckpt_path=start, weights_only=True)
        minutes = (time.monotonic() - began) / 60
        tested = _tested_checkpoint(trainer, plain["test_checkpoint"])
        if tested:
            checkpoint.initialise(module, checkpoint.read(tested), tested)
        metrics = _metrics(trainer)
        if plain["test_checkpoint"] == "best":  # in place of the validation metrics of the last epoch
            metrics = {name: value for name, value in metrics.items() if not name.startswith("val/")}
            metrics |= _best_score(trainer)
        trainer.test(module, datamodule, verbose=False)
        if tested and trainer.is_global_zero:
            checkpoint.refresh(tested, module)
        metrics |= {name: value for name, value in _metrics(trainer).items() if name.startswith("test/")}
    except BaseException:
        _close_loggers(trainer, "failed")
        raise
    _close_loggers(trainer, "success")
    metrics |= {
        "fit/minutes": minutes,
        "fit/epochs": trainer.current_epoch,
        "fit/steps": trainer.global_step,
        "model/parameters": sum(parameter.numel() for parameter in module.parameters()),
    }
    if trainer.is_global_zero:
        finish(run, metrics, plain.get("expected"))
    return metrics.get(plain["optimized_metric"])


def finish(run: Path, metrics: dict[str, float], expected: dict[str, Any] | None = None) -> None:
    """Write the metrics and the report of a run, and print the table.

    Args:
        run: The run folder.
        metrics: Flat names and values.
        expected: For some metrics, the range [low, high] in which the experiment's author found them.
    """
    plain = {name: value if math.isfinite(value) else None for name, value in metrics.items()}  # JSON knows no NaN
    run_folder.write_text(run / "metrics.json", json.dumps(plain, indent=2, sort_keys=True))
    report.write(run, expected or {})
    Console().print(report.terminal_table(metrics, expected or {}))
    log.info("report: %s", run / "report.html")


def _check_names(config: dict[str, Any], module: L.LightningModule) -> None:
    """A monitored metric that is never logged would stop the run only after its first epoch; say so at once."""
    if config["test_checkpoint"] not in ("best", "last"):
        raise UserError(f"test_checkpoint={config['test_checkpoint']}: expected best or last")
    known: Any = module.metric_names
    for key in ("monitor", "optimized_metric"):
        if config[key] not in known:
            raise UserError(f"{key}={config[key]}: this module logs no such metric; {did_you_mean(config[key], known)}")


def _starting_point(config: dict[str, Any], run: Path, module: L.LightningModule) -> Path | None:
    """Checkpoint to go on from, none to start afresh; weights of `init_from` are put in place."""
    if config["auto_resume"] and (run / run_folder.LAST).is_file():
        log.info("resuming %s", run)
        return _readable(run / run_folder.LAST, module)
    if config["init_from"]:
        checkpoint.initialise(module, checkpoint.read(config["init_from"]), Path(config["init_from"]))
    if config["ckpt_path"]:
        start = _to_go_on_from(config["ckpt_path"], run)
        _check_schedule(checkpoint.read(start), config)
        return _readable(start, module)
    return None


def _to_go_on_from(path: str, run: Path) -> Path:
    if path != "last":
        return Path(path)
    newest = run_folder.newest_checkpoint(run.parent)
    if newest is None:
        raise UserError(f"ckpt_path=last: no run below {run.parent} has a checkpoint to go on from")
    log.info("going on from %s", newest)
    return newest


def _check_schedule(content: dict[str, Any], config: dict[str, Any]) -> None:
    """A learning-rate schedule with an end cannot be made longer."""
    before = content["medzoo"]["config"]
    lengths = [trained["trainer"].get("max_epochs") for trained in (before, config)]
    if {"total_steps", "T_max"} & set(before["lightning_module"].get("scheduler") or {}) and lengths[0] != lengths[1]:
        raise UserError(
            f"the learning-rate schedule of this checkpoint ends after {lengths[0]} epochs, so it cannot go on to "
            f"{lengths[1]}: start a new schedule from its weights with init_from=<checkpoint>"
        )


def _readable(path: Path, module: L.LightningModule) -> Path:
    """The path, once its checkpoint is known to fit the module."""
    content = checkpoint.read(path)
    current = {**content, "state_dict": content.get("current_model_state", content["state_dict"])}
    checkpoint.initialise(module, current, path)
    return path


def try_out(module: L.LightningModule, batches: Any) -> None:
    """Run two examples through a module, so that data and network that do not fit are told before training.

    Args:
        module: Left as it was.
        batches: A loader.

    Raises:
        UserError: If the forward pass, the loss or the prediction fails on them.
    """
    batch = {name: value[:2] for name, value in next(iter(batches)).items()}
    training = module.training
    try:
        with torch.random.fork_rng(), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's, that nothing is logged without a trainer
            module.eval()
            module.training_step(batch, 0)
            module.predict_step(batch, 0)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        shape = tuple(batch["image"].shape[1:])
        raise UserError(
            f"the data do not fit lightning_module: on an image of shape (C, *spatial) = {shape}, "
            f"{' '.join(str(error).split())}"
        ) from error
    finally:
        module.train(training)


def _check_folder(run: Path, auto_resume: bool) -> None:
    """Two runs in one folder would mix their files."""
    if not run_folder.is_first_process():
        return
    if (run / "metrics.json").is_file():
        raise UserError(f"{run} holds a finished run: name another hydra.run.dir, or leave it out for a new folder")
    if (run / run_folder.LAST).is_file() and not auto_resume:
        raise UserError(f"{run} holds an unfinished run: go on with auto_resume=true, or name another hydra.run.dir")


def _prepare(datamodule: Any, module: L.LightningModule, config: dict[str, Any], run: Path) -> None:
    """Get and check the data, and write the beginning of the run, before other processes are started."""
    if not run_folder.is_first_process():
        return
    with user_errors("datamodule"):
        datamodule.prepare_data()
        datamodule.setup("fit")
    try_out(module, datamodule.train_dataloader())
    run_folder.write_start(run, config, datamodule.split, phantom=datamodule.phantom)
    Console().print(Syntax(OmegaConf.to_yaml(OmegaConf.create(config)), "yaml", background_color="default"))
    if datamodule.phantom:
        log.info("phantom images: the numbers show that the code works and say nothing about patients")


def _trainer(config: dict[str, Any], run: Path, datamodule: L.LightningDataModule, start: Path | None) -> L.Trainer:
    name = "/".join(run.parts[-2:]) + (" (phantom)" if datamodule.phantom else "")  # type: ignore[attr-defined]
    step = checkpoint.read(start)["global_step"] if start else 0
    known: dict[str, Any] = {"csv": {"step": step}, "wandb": {"run_name": name, "config": config}}
    loggers = [
        built(save_dir=run, **known.get(key, {}))
        for key, built in zip(config["logger"] or {}, instantiate_all(config["logger"], "logger"), strict=True)
    ]
    callbacks = [checkpoint.EmbedConfig(config), *instantiate_all(config["callbacks"], "callbacks")]
    if not loggers:  # Lightning's monitor refuses to run without one
        callbacks = [callback for callback in callbacks if not isinstance(callback, LearningRateMonitor)]
    return make_trainer(config["trainer"], run, callbacks=callbacks, logger=loggers)


def _metrics(trainer: L.Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def _tested_checkpoint(trainer: L.Trainer, which: str) -> Path | None:
    """The checkpoint to test; none where none was written, and the weights at hand are tested."""
    if which == "last":
        last = Path(trainer.default_root_dir) / run_folder.LAST
        return last if last.is_file() else None
    best = _monitoring(trainer)
    return Path(best.best_model_path) if best and best.best_model_path else None


def _best_score(trainer: L.Trainer) -> dict[str, float]:
    """The monitored metric at the best checkpoint, in place of that of the last epoch."""
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
