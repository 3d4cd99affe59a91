"""A run that is stopped, or fails, leaves a checkpoint and no running process."""

import os
import signal
from pathlib import Path
from types import FrameType

import lightning as L
import torch
import torch.distributed
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.types import STEP_OUTPUT

from medzoo.callbacks.training.later import Later

__all__ = ["Interrupted"]


class Interrupted(L.Callback):
    """At SIGTERM, which schedulers send, all ranks finish their step, write `last.ckpt` and end.

    Lightning broadcasts inside its signal handler. The ranks may be at different places then, and wait for each other
    for ever. Here the signal sets a flag, which ranks compare after each training step; on GPUs they learn the outcome
    a step later, so that no step waits for it. Outside training there is nothing to save: the process ends at once.

    After an error or Ctrl-C, a single process leaves `interrupted.ckpt` for inspection. With several processes, the
    others may wait for one that is gone, so the first process ends them.
    """

    def __init__(self) -> None:
        self._told = False
        self._asked: Later | None = None
        self._step = 0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget earlier signals."""
        self._told, self._asked, self._step = False, None, trainer.global_step

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
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: STEP_OUTPUT, batch: object, batch_idx: int
    ) -> None:
        """Stop all ranks if one was told to stop; gradients that are being accumulated would be lost."""
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        if self._told if trainer.world_size == 1 else self._any_told(trainer.strategy.root_device):
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

    def _any_told(self, device: torch.device) -> bool:
        """Whether a rank was told to stop: on a GPU, before the last step."""
        told = torch.full((), float(self._told), device=device)
        torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
        before, self._asked = self._asked, Later(told)
        outcome = before if told.is_cuda else self._asked
        return outcome is not None and bool(outcome.read())

    def _folder(self, trainer: L.Trainer) -> Path:
        return Path(trainer.default_root_dir) / "checkpoints"

    def _listen(self, trainer: L.Trainer) -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            if trainer.state.fn == "fit" and trainer.training:
                self._told = True
                return
            if isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
                trainer.strategy.launcher.kill(signal.SIGKILL)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

        signal.signal(signal.SIGTERM, stop)
