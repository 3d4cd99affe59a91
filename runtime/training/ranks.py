"""Several processes: how many, and ranks without a batch in evaluation."""

import logging
import os
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torchmetrics import Metric

from medzoo.runtime.errors import UserError
from medzoo.runtime.training.together import started_processes

__all__ = ["StandIns", "check_processes", "processes", "workers"]


def processes(config: dict[str, Any]) -> int:
    """Number of processes of a trainer of this config."""
    log = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = log.level
    log.setLevel(logging.ERROR)  # the trainer itself logs the devices
    try:
        known: dict[str, Any] = {
            name: config[name] for name in ("accelerator", "devices", "num_nodes") if name in config
        }
        known |= dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        return L.Trainer(**known).world_size
    except MisconfigurationException as error:
        raise UserError(f"trainer: {error}") from error
    finally:
        log.setLevel(level)


def workers(config: Mapping[str, Any]) -> int:
    """Number of processes that make batches ahead for each process of a run.

    Args:
        config: May have `trainer`, and `workers`: a number, or `auto` for the cores that this process may use, divided
            by the processes of this machine, less one for the training, 16 at most.

    Raises:
        UserError: If `workers` is neither.
    """
    given = config.get("workers", 0)
    if given == "auto":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        trainer = config.get("trainer") or {}
        here = processes(trainer) // int(trainer.get("num_nodes", 1))
        return max(0, min(16, cores // here - 1))
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise UserError(f"workers={given}: expected a number of processes, 0 or more, or auto")
    return given


def check_processes(config: dict[str, Any]) -> int:
    """Refuse a trainer of another number of processes than were started: each would train alone.

    Args:
        config: The `trainer` node.

    Returns:
        Its number of processes.

    Raises:
        UserError: If torchrun or srun started more or fewer.
    """
    wanted, started = processes(config), started_processes()
    if started not in (1, wanted):
        raise UserError(
            f"{started} processes were started, and trainer.devices times trainer.num_nodes is {wanted}: set them to "
            "the processes of a node and the number of nodes"
        )
    return wanted


class StandIns(L.Callback):
    """Runs batches marked `stand_in` without effect: they keep a rank that has no batch of its own in step.

    The step runs, so that the rank takes part in collective operations. Its logs get weight 0, metrics are restored,
    and other callbacks do not see the batch.
    """

    def __init__(self) -> None:
        self._before: list[tuple[Metric, dict[str, Any]]] = []
        self._callbacks: list[L.Callback] | None = None
        self._module: L.LightningModule | None = None

    def on_validation_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, *_: int
    ) -> None:
        """Hide a stand-in."""
        self._hide(trainer, pl_module, batch)

    def on_test_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, *_: int) -> None:
        """Hide a stand-in."""
        self._hide(trainer, pl_module, batch)

    def on_predict_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, *_: int) -> None:
        """Hide a stand-in."""
        self._hide(trainer, pl_module, batch)

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, *_: int
    ) -> None:
        """Restore metrics and callbacks."""
        self._restore(trainer)

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, *_: int
    ) -> None:
        """Restore metrics and callbacks."""
        self._restore(trainer)

    def on_predict_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, *_: int
    ) -> None:
        """Restore metrics and callbacks."""
        self._restore(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Pass the exception to hidden callbacks."""
        hidden = [callback for callback in self._callbacks or [] if callback is not self]
        self._restore(trainer)
        for callback in hidden:
            callback.on_exception(trainer, pl_module, exception)

    def _hide(self, trainer: L.Trainer, module: L.LightningModule, batch: object) -> None:
        if not isinstance(batch, dict) or not batch.get("stand_in"):
            return
        self._module = module
        metrics = [each for each in module.modules() if isinstance(each, Metric)]
        self._before = [(metric, _copy(metric.metric_state)) for metric in metrics]
        logged = module.log

        def log(name: str, value: Any, *arguments: Any, **options: Any) -> None:
            weightless = torch.zeros_like(value) if isinstance(value, Tensor) else value
            logged(name, weightless, *arguments, **{**options, "batch_size": 0})

        vars(module)["log"] = log
        self._callbacks, vars(trainer)["callbacks"] = vars(trainer)["callbacks"], [self]

    def _restore(self, trainer: L.Trainer) -> None:
        if self._callbacks is None:
            return
        vars(trainer)["callbacks"], self._callbacks = self._callbacks, None
        del vars(self._module)["log"]
        for metric, before in self._before:
            for name, value in before.items():
                # Keep only the shape of what was added: ranks need it to gather theirs.
                added = getattr(metric, name)
                rows = [*value, *(part[:0] for part in added[len(value) :])] if isinstance(value, list) else value
                setattr(metric, name, rows)
        self._before = []


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, list) else value.clone() for name, value in state.items()}
