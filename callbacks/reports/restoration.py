"""Pieces of test images as they were, as they were corrupted, and as the network restored them."""

from typing import Any

import lightning as L

from medzoo.callbacks.output import save_figures
from medzoo.evaluation.figures import pairs_figure

__all__ = ["RestorationFigures"]


class RestorationFigures(L.Callback):
    """Draws `figures/restoration.png` of test pieces, every n-th, so that all of the split is seen.

    Args:
        images: How many are drawn.
    """

    def __init__(self, images: int = 8) -> None:
        if images < 1:
            raise ValueError(f"images={images}: draw at least one")
        self.images = images
        self._drawn: list[dict[str, Any]] = []

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start anew."""
        self._drawn = []

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: int
    ) -> None:
        """Keep the first piece of a batch, of the first process: those of a batch may be of one image."""
        parts = {"original": batch["target"], "corrupted": batch["image"], "restored": outputs["restored"]}
        kept: dict[str, Any] = {name: each[0].float().cpu().numpy() for name, each in parts.items()}
        self._drawn.append(kept | {"corruption": batch["corruption"][0]})

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw."""
        if not trainer.is_global_zero:
            return
        chosen = self._drawn[:: max(1, len(self._drawn) // self.images)][: self.images]
        rows = {name: [each[name] for each in chosen] for name in ("original", "corrupted", "restored")}
        titles = [each["corruption"].replace(", ", "\n") for each in chosen]
        save_figures(trainer, {"restoration": pairs_figure(rows, titles)})
