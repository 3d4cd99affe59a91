"""A callback that ends its own process as `kill -9` does."""

import os
import signal
from pathlib import Path
from typing import Any

import lightning as L


class KillAt(L.Callback):
    """Sends SIGKILL before the training step that the environment names, so that the config says nothing of it."""

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Kill at the step."""
        if str(trainer.global_step) == os.environ.get("MEDZOO_TEST_KILL_AT") and _is_meant(trainer.global_rank):
            os.kill(os.getpid(), signal.SIGKILL)


def _is_meant(rank: int) -> bool:
    """Every process, unless the environment names a rank and a file, which marks that it was killed."""
    chosen, _, file = os.environ.get("MEDZOO_TEST_KILL_ONCE", "").partition(":")
    if not chosen:
        return True
    if str(rank) != chosen or Path(file).exists():
        return False
    Path(file).touch()
    return True
