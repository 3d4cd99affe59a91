"""Random numbers that depend on the step of training, not on how it was reached."""

import lightning as L
import numpy as np
import torch

__all__ = ["StepSeed"]


class StepSeed(L.Callback):
    """Seeds torch before every training step from (seed, epoch, batch, rank).

    Dropout and sampled noise are then the same whether or not a run was interrupted and resumed, and differ between
    ranks. The checkpoint needs no generator state.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Seed the step."""
        key = (self.seed, trainer.current_epoch, batch_idx, trainer.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0]))
