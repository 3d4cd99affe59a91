"""A run that is told to stop, or stops by itself, leaves a checkpoint, and no process of it behind."""

import os
import signal
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.utilities.exceptions import SIGTERMException

__all__ = ["Interrupted"]


class Interrupted(L.Callback):
    """At SIGTERM, as of a scheduler, all ranks finish their batch, write `last.ckpt` and end.

    Lightning broadcasts inside its signal handler, where every rank may be at another place: ranks then wait for each
    other for ever. Here the signal sets a flag, which ranks compare after each training batch. Outside of training
    there is nothing to save, and the process ends at once.

    An error or Ctrl-C on a single process leaves `interrupted.ckpt`, to look at. Of several processes the others may
    wait for one that is gone, so the first process ends them.
    """

    def __init__(self) -> None:
        self._told = False

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start anew."""
        self._told = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the signal over from Lightning."""
        self._listen(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the signal over from Lightning."""
        self._listen(trainer)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Take the signal over from Lightning."""
        self._listen(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Where one rank was told to stop, all do."""
        if trainer.strategy.reduce_boolean_decision(self._told, all=False):
            trainer.save_checkpoint(self._folder(trainer) / "last.ckpt")
            raise SIGTERMException

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Save, or end the other processes."""
        if isinstance(exception, SIGTERMException):
            return
        if trainer.world_size == 1 and trainer.state.fn == "fit":
            trainer.save_checkpoint(self._folder(trainer) / "interrupted.ckpt")
        elif isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
            trainer.strategy.launcher.kill(signal.SIGKILL)

    def _folder(self, trainer: L.Trainer) -> Path:
        return Path(trainer.default_root_dir) / "checkpoints"

    def _listen(self, trainer: L.Trainer) -> None:
        def told(number: int, frame: Any) -> None:
            if trainer.state.fn == "fit" and trainer.training:
                self._told = True
                return
            if isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
                trainer.strategy.launcher.kill(signal.SIGKILL)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

        signal.signal(signal.SIGTERM, told)
