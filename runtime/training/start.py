"""Before a stage trains: check names, try data and network on two examples, find the checkpoint to start from."""

import logging
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch

from medzoo.runtime.check import did_you_mean
from medzoo.runtime.checkpoints import checkpoint
from medzoo.runtime.contracts import DataModule, LogsMetrics, Normalises, Pretrained, SaysItsSteps
from medzoo.runtime.errors import UserError
from medzoo.runtime.output import run_folder

__all__ = ["SameSchedule", "check_intensities", "check_names", "goes_on", "starting_point", "try_out"]

log = logging.getLogger(__name__)

_ENDS = ("total_steps", "T_max", "total_iters")  # attributes of PyTorch schedules that hold their length
_NEAR = 0.02
DRY_STEPS = ("training_step", "predict_step")


def check_names(config: dict[str, Any], module: L.LightningModule, keys: Sequence[str]) -> None:
    """Refuse a monitored metric that is never logged: Lightning would stop only after the first epoch.

    Args:
        config: Of the stage.
        module: Knows its `metric_names`.
        keys: Keys of the config that name metrics.

    Raises:
        UserError: If a name is unknown.
    """
    if config["test_checkpoint"] not in ("best", "last"):
        raise UserError(f"test_checkpoint={config['test_checkpoint']}: expected best or last")
    if not isinstance(module, LogsMetrics):
        raise UserError(f"lightning_module: {type(module).__name__} has no property metric_names")
    known = module.metric_names
    for key in keys:
        if config[key] not in known:
            raise UserError(f"{key}={config[key]}: this module logs no such metric; {did_you_mean(config[key], known)}")


def try_out(module: L.LightningModule, batches: Iterable[Any], steps: Sequence[str] = DRY_STEPS) -> None:
    """Run two examples through a module, so that a mismatch of data and network is found before training.

    Args:
        module: Unchanged; its `dry_steps` say which steps take such a batch.
        batches: A loader.
        steps: Names of the steps to try.

    Raises:
        UserError: If the forward pass, the loss or the prediction fails on them.
    """
    batch = _first_two(next(iter(batches)))
    training = module.training
    try:
        with torch.random.fork_rng(), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's, that nothing is logged without a trainer
            module.eval()
            known = module.dry_steps if isinstance(module, SaysItsSteps) else DRY_STEPS
            for step in (step for step in steps if step in known):
                getattr(module, step)(batch, 0)
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        shapes = {name: tuple(value.shape[1:]) for name, value in batch.items() if isinstance(value, torch.Tensor)}
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise UserError(
            f"the data do not fit lightning_module: on examples of shape {listed}, {' '.join(str(error).split())}"
        ) from error
    finally:
        module.train(training)


def check_intensities(module: L.LightningModule, datamodule: DataModule) -> None:
    """Refuse data that are normalised otherwise than the images of a pretrained network.

    Args:
        module: Pretrained networks in it have `trained_on`.
        datamodule: Has `mean` and `std`; without them images are in [0, 1].

    Raises:
        UserError: If they differ.
    """
    normalised = isinstance(datamodule, Normalises)
    given = (float(datamodule.mean), float(datamodule.std)) if isinstance(datamodule, Normalises) else (0.0, 1.0)
    for part in (part for part in module.modules() if isinstance(part, Pretrained)):
        wanted = tuple(sum(values) / len(values) for values in part.trained_on)
        if all(abs(a - b) < _NEAR for a, b in zip(given, wanted, strict=True)):
            continue
        trained = f"mean {wanted[0]:.3f} and std {wanted[1]:.3f}"
        mismatch = f"its weights were trained on images of {trained}, the data have {given[0]:g} and {given[1]:g}"
        if not normalised:
            log.warning("pretrained network: %s", mismatch)
            continue
        raise UserError(
            f"pretrained network: {mismatch}; write datamodule.mean={wanted[0]:.3f} datamodule.std={wanted[1]:.3f}"
        )


def _first_two(batch: Any) -> Any:
    if isinstance(batch, dict):
        return {name: _first_two(value) for name, value in batch.items()}
    return batch[:2]


def goes_on(config: dict[str, Any], folder: Path) -> bool:
    """Whether a stage takes its weights from a checkpoint, so that it needs no pretrained ones."""
    resumed = config["auto_resume"] and (folder / run_folder.LAST).is_file()
    return bool(resumed or config["init_from"] or config["ckpt_path"])


def starting_point(config: dict[str, Any], folder: Path, module: L.LightningModule) -> Path | None:
    """Find the checkpoint to continue from, and load the weights of `init_from`.

    Args:
        config: Of the stage.
        folder: Of the stage.
        module: Changed by `init_from` alone.

    Returns:
        The checkpoint, which fits the module; None to start from scratch.

    Raises:
        UserError: If a checkpoint is missing, damaged or of another model.
    """
    if config["auto_resume"] and (folder / run_folder.LAST).is_file():
        log.info("resuming %s", folder)
        return _readable(folder / run_folder.LAST, module)
    if config["init_from"]:
        checkpoint.initialise(module, checkpoint.read(config["init_from"]), Path(config["init_from"]))
    if config["ckpt_path"]:
        start = _to_go_on_from(config["ckpt_path"], folder)
        _check_schedule(checkpoint.read(start), config)
        return _readable(start, module)
    return None


def _to_go_on_from(path: str, run: Path) -> Path:
    if path != "last":
        return Path(path)
    newest = run_folder.newest_checkpoint(run.parent)
    if newest is None:
        raise UserError(f"ckpt_path=last: no run below {run.parent} has a checkpoint to continue from")
    log.info("continuing from %s", newest)
    return newest


def _check_schedule(content: dict[str, Any], config: dict[str, Any]) -> None:
    """Refuse to extend a learning-rate schedule that has an end."""
    before = content["medzoo"]["config"]
    lengths = [trained["trainer"].get("max_epochs") for trained in (before, config)]
    if {*_ENDS, "epochs"} & set(before["lightning_module"].get("scheduler") or {}) and lengths[0] != lengths[1]:
        raise UserError(
            f"the learning-rate schedule of this checkpoint ends after {lengths[0]} epochs, so it cannot continue to "
            f"{lengths[1]}: start a new schedule from its weights with init_from=<checkpoint>"
        )


class SameSchedule(L.Callback):
    """Refuses, before the first step, to continue a schedule of a run of another length.

    The length of a run in steps depends on the batch size, the devices, the accumulation, the data and the limits.
    """

    def __init__(self) -> None:
        self._written: list[dict[str, Any]] = []

    def on_load_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Remember the schedules of the run that is resumed."""
        self._written = checkpoint.get("lr_schedulers", [])

    def on_fit_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Compare them with those of this run, which load their state next.

        Raises:
            UserError: If one ends at another step.
        """
        for written, config in zip(self._written, trainer.lr_scheduler_configs, strict=False):
            made = config.scheduler.state_dict()
            for end in _ENDS:
                if written.get(end, made.get(end)) != made.get(end):
                    raise UserError(
                        f"the learning-rate schedule of this checkpoint ends after {written[end]} {config.interval}s, "
                        f"and that of this run after {made[end]}: keep batch size, devices, accumulation, limits and "
                        "length, or start a new schedule from its weights with init_from=<checkpoint>"
                    )


def _readable(path: Path, module: L.LightningModule) -> Path:
    """The path, after checking that its checkpoint fits the module."""
    content = checkpoint.read(path)
    current = {**content, "state_dict": content.get("current_model_state", content["state_dict"])}
    checkpoint.initialise(module, current, path)
    return path
