"""What an autoencoder of images gives back, and what its latent numbers stand for."""

from typing import Any

import lightning as L
import numpy as np
import torch

from medzoo.callbacks.collect import data_of, gather
from medzoo.callbacks.output import save_figures
from medzoo.evaluation.figures import image_grid

__all__ = ["VAEFigures"]


class VAEFigures(L.Callback):
    """Draws `figures/reconstruction.png` of test images and `figures/traversal.png` of the latent.

    Single numbers of a latent share what images differ in, so its principal directions among validation images
    (of another cohort, which has none, among its test images) are traversed, from 2.5 standard deviations below the
    mean of all to 2.5 above.

    Args:
        images: Test images drawn, the first of as many batches, then of each the second, and so on.
        traversed: Directions, those with most of the variance.
        steps: Images for each.
    """

    def __init__(self, images: int = 8, traversed: int = 4, steps: int = 9) -> None:
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
            titles, rows = self._traversal(trainer, pl_module)
        figures["traversal"] = image_grid(titles, rows, columns=self.steps)
        save_figures(trainer, figures)

    @torch.no_grad()
    def _traversal(self, trainer: L.Trainer, pl_module: Any) -> tuple[list[str], list[np.ndarray]]:
        """Titles and images (steps, H, W) of each direction."""
        data = data_of(trainer)
        batches = [*data.val_dataloader()] or [*data.test_dataloader()]
        latents = torch.cat([pl_module.latent(batch["image"].to(pl_module.device)).float() for batch in batches])
        mean = latents.mean(0)
        _, sizes, directions = torch.linalg.svd(latents - mean, full_matrices=False)
        share, spread = sizes.square() / sizes.square().sum(), sizes / len(latents) ** 0.5
        reach = torch.linspace(-2.5, 2.5, self.steps).to(mean)
        titles, rows = [], []
        for number in range(min(self.traversed, len(sizes))):
            moved = mean + reach[:, None] * spread[number] * directions[number]
            titles.append(f"direction {number + 1} ({share[number]:.0%} of the variance): -2.5 to 2.5 SD")
            rows.append(pl_module.decode(moved)[:, 0].float().cpu().numpy())
        return titles, rows
