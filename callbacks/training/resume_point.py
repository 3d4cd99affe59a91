"""Checkpoints to resume from: written by the clock, by a thread that training does not wait for."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from lightning.pytorch.utilities.types import STEP_OUTPUT

from medzoo.files import replacing

__all__ = ["BackgroundCheckpoints", "TimedCheckpoint"]

_ASKED = 20  # steps between two looks at the clock that several processes have to agree on, which waits for the device


class TimedCheckpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, which saves when some minutes have passed: an interrupted run loses no more.

    Args:
        minutes: Time between two checkpoints.
        every_n_train_steps: Steps between two checkpoints, instead of `minutes`.
        **options: Further arguments of Lightning's callback.
    """

    def __init__(self, minutes: float = 10, *, every_n_train_steps: int | None = None, **options: Any) -> None:
        if minutes <= 0:
            raise ValueError(f"minutes={minutes}: must be positive")
        interval = None if every_n_train_steps else timedelta(minutes=minutes)
        super().__init__(train_time_interval=interval, every_n_train_steps=every_n_train_steps, **options)
        self._by_time, self._before = interval is not None, 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: STEP_OUTPUT, batch: object, batch_idx: int
    ) -> None:
        """Save, if it is time and the weights have just moved: gradients that are being accumulated are not saved."""
        moved, self._before = trainer.global_step != self._before, trainer.global_step
        asked = trainer.world_size == 1 or trainer.global_step % _ASKED == 0
        if not self._by_time or (moved and asked):
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


class BackgroundCheckpoints(L.Callback):
    """Writes checkpoints while training goes on.

    The state is copied to the host before training goes on. A file appears when it is complete, and files are written
    in order. The end of the training waits for the last one, also after an error or SIGTERM. An error is
    raised by the next checkpoint, or by the end of the training.
    """

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Replace Lightning's way to write; strategies that write their own files keep theirs."""
        if stage == "fit" and type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = _Background(_Complete())

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Let no process go on before the files are complete; later ones are written at once."""
        if stage == "fit":
            writer = trainer.strategy.checkpoint_io
            writer.teardown()
            trainer.strategy.barrier()
            if isinstance(writer, _Background):
                trainer.strategy.checkpoint_io = TorchCheckpointIO()


class _Background(AsyncCheckpointIO):
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None) -> None:
        """Copy the state and leave the rest to the thread."""
        super().save_checkpoint(move_data_to_device(checkpoint, torch.device("cpu")), path, storage_options)

    def teardown(self) -> None:
        """Wait for the thread; an error of it is raised once."""
        try:
            super().teardown()
        finally:
            self._error = None

    def load_checkpoint(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Wait for the thread, then read."""
        self.teardown()
        return super().load_checkpoint(*args, **kwargs)


class _Complete(TorchCheckpointIO):
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None) -> None:
        """Write all or nothing."""
        try:
            with replacing(Path(path)) as partial:
                torch.save(checkpoint, partial)
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise OSError(
                f"{path} could not be written ({reason}): make room, then go on from the checkpoint before it with "
                "auto_resume=true"
            ) from error
