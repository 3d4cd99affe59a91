"""Test slices with blood beside their reconstructions by an autoencoder."""

from typing import Any

import lightning as L
import torch

from medzoo.callbacks.collect import gather
from medzoo.callbacks.output import save_figures
from medzoo.evaluation.figures import reconstruction_figure

__all__ = ["ReconstructionFigures"]


class ReconstructionFigures(L.Callback):
    """Draws `figures/reconstruction.png` of test slices with blood: every n-th, so that all of the split is seen.

    Args:
        slices: How many are drawn.
    """

    def __init__(self, slices: int = 6) -> None:
        self.slices = slices
        self._pairs: list[tuple[Any, Any]] = []

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start anew."""
        self._pairs = []

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: int
    ) -> None:
        """Keep the slice with most blood of the batch."""
        image = batch["image"]
        blood = image[:, 1:].sum(dim=(1, 2, 3))
        index = int(blood.argmax())
        if blood[index] > 0:
            self._pairs.append((image[index].float().cpu(), outputs["reconstruction"][index].float().cpu()))

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw."""
        pairs = gather(self._pairs)
        if not trainer.is_global_zero or not pairs:
            return
        chosen = pairs[:: max(1, len(pairs) // self.slices)][: self.slices]
        original, reconstruction = (torch.stack(column).numpy() for column in zip(*chosen, strict=True))
        figures = {"reconstruction": reconstruction_figure(original, reconstruction)}
        save_figures(trainer, figures)
