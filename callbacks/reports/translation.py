"""Slices of one kind, as the other kind, and back."""

from typing import Any

import lightning as L
import torch

from medzoo.callbacks.collect import data_of
from medzoo.callbacks.output import save_figures
from medzoo.evaluation.figures import pairs_figure

__all__ = ["TranslationFigures"]


class TranslationFigures(L.Callback):
    """Draws `figures/translation.png`: the middle slice of test cases of B, as A, and back; and one of A beside them.

    Args:
        images: How many are drawn.
    """

    def __init__(self, images: int = 8) -> None:
        if images < 1:
            raise ValueError(f"images={images}: draw at least one")
        self.images = images
        self._drawn: list[tuple[torch.Tensor, torch.Tensor]] = []

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start anew."""
        self._drawn = []

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: int
    ) -> None:
        """Keep the middle slice of the first channel."""
        if len(self._drawn) < self.images:
            images = batch["image"], outputs["translated"]
            self._drawn.append(tuple(each[:, :, each.shape[2] // 2] if each.ndim == 5 else each for each in images))

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw."""
        if not trainer.is_global_zero or not self._drawn:
            return
        module: Any = pl_module
        raw, translated = (torch.cat(column) for column in zip(*self._drawn, strict=True))
        with torch.no_grad():
            back = (module.to_b(2 * translated - 1) + 1) / 2
        rows = {"B": raw, "B as A": translated, "and back": back}
        data = data_of(trainer)
        if data.split.get("val"):  # another cohort has none of A
            rows["others of A"] = torch.cat([batch["image"] for batch in data.val_dataloader()])
        shown = min(len(images) for images in rows.values())  # a short validation has few of A
        turned = [-2, -1] if data_of(trainer).spatial_dims == 3 else []  # RAS to front up
        drawn = {
            name: [image[:1].flip(turned).float().cpu().numpy() for image in images[:shown]]
            for name, images in rows.items()
        }
        save_figures(trainer, {"translation": pairs_figure(drawn)})
