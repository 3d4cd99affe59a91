"""Random numbers that depend on where training stands, not on how it got there."""

from typing import Any

import lightning as L
import numpy as np
import torch

__all__ = ["StepSeed"]


class StepSeed(L.Callback):
    """Seeds torch before every training step from (seed, epoch, batch, rank).

    Dropout and sampled noise are then the same in a run that was interrupted and resumed as in one that was not, and
    differ between ranks, without any generator state in the checkpoint.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the step."""
        key = (self.seed, trainer.current_epoch, batch_idx, trainer.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))
