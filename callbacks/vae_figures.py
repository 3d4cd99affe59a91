"""What an autoencoder of images gives back, and what its latent numbers stand for."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from callbacks.classification_figures import save_figures
from callbacks.collect import gather
from evaluation.figures import image_grid

__all__ = ["VAEFigures"]


class VAEFigures(L.Callback):
    """Draws `figures/reconstruction.png` of test images and `figures/traversal.png` of the latent.

    Of the latent those numbers are traversed whose means vary most among validation images, from 2.5 standard
    deviations below the mean of all to 2.5 above, all others at their mean.

    Args:
        images: Test images drawn, the first of as many batches, then of each the second, and so on.
        traversed: Latent numbers.
        steps: Images for each.
    """

    def __init__(self, images: int = 8, traversed: int = 6, steps: int = 7) -> None:
        self.images, self.traversed, self.steps = images, traversed, steps
        self._pairs: list[tuple[Any, Any]] = []

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start anew."""
        self._pairs = []

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: int
    ) -> None:
        """Keep some of a batch."""
        both = (outputs[key][: self.images, 0].float().cpu().numpy() for key in ("image", "reconstruction"))
        self._pairs += [*zip(*both, strict=True)]

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw."""
        pairs = gather(self._pairs)
        if not trainer.is_global_zero:
            return
        pairs = pairs[:: max(1, len(pairs) // self.images)][: self.images]
        original, said = (np.stack(column) for column in zip(*pairs, strict=True))
        titles = ["test images", "reconstructed"]
        figures = {"reconstruction": image_grid(titles, [original, said], columns=self.images)}
        with trainer.precision_plugin.forward_context():
            latents = self._latents(trainer, pl_module)
            numbers = latents.std(0).topk(min(self.traversed, latents.shape[1])).indices.tolist()
            rows = [self._row(pl_module, latents, number) for number in numbers]
        titles = [f"latent {number}: -2.5 to 2.5 standard deviations" for number in numbers]
        figures["traversal"] = image_grid(titles, rows, columns=self.steps)
        save_figures(trainer, figures, Path(trainer.default_root_dir) / "figures")

    @torch.no_grad()
    def _latents(self, trainer: L.Trainer, pl_module: L.LightningModule) -> Tensor:
        batches = trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        return torch.cat([pl_module.latent(batch["image"].to(pl_module.device)).float() for batch in batches])  # type: ignore[operator]

    @torch.no_grad()
    def _row(self, pl_module: L.LightningModule, latents: Tensor, number: int) -> np.ndarray:
        steps = latents.mean(0).repeat(self.steps, 1)
        steps[:, number] += torch.linspace(-2.5, 2.5, self.steps).to(steps) * latents[:, number].std()
        return pl_module.decode(steps)[:, 0].float().cpu().numpy()  # type: ignore[operator]
