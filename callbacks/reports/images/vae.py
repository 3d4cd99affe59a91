"""Reconstructions of an autoencoder, and images along the principal directions of its latent."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import lightning as L
import numpy as np
import torch
from torch import Tensor

from medzoo.callbacks.collect import Batch, gather
from medzoo.callbacks.output import Report
from medzoo.callbacks.reports.base import TestReport
from medzoo.callbacks.reports.images.chosen import every_nth
from medzoo.evaluation.figures import image_grid

__all__ = ["Traversed", "VAEFigures"]

Pair = tuple[np.ndarray, np.ndarray]
"""An image (H, W) and its reconstruction."""


class Module(Protocol):
    """Members of the module that are used."""

    trainer: L.Trainer
    device: torch.device

    def latent(self, image: Tensor) -> Tensor:
        """Latents (B, L) of images."""

    def decode(self, latent: Tensor) -> Tensor:
        """Images (B, C, H, W) of latents."""


class Data(Protocol):
    """Members of the datamodule that are used."""

    def val_dataloader(self) -> Iterable[Batch]:
        """Validation batches with `image`; none of another cohort."""

    def test_dataloader(self) -> Iterable[Batch]:
        """Test batches with `image`."""


@dataclass(frozen=True)
class Traversed:
    """Pairs to draw, and titles and images (steps, H, W) of each direction."""

    pairs: Sequence[Pair]
    titles: Sequence[str]
    rows: Sequence[np.ndarray]


class VAEFigures(TestReport[Module, Data, Traversed]):
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
        super().__init__()
        self.images, self.traversed, self.steps = images, traversed, steps

    def reset(self) -> None:
        """Forget earlier batches."""
        self._pairs: list[Pair] = []

    def keep(self, outputs: Batch, batch: Batch, data: Data) -> None:
        """Keep some images of a batch."""
        both = (outputs[key][: self.images, 0].float().cpu().numpy() for key in ("image", "reconstruction"))
        self._pairs += [*zip(*both, strict=True)]

    @torch.no_grad()
    def collected(self, module: Module, data: Data) -> Traversed:
        """Some pairs of all ranks, and images along the principal directions."""
        pairs = every_nth(gather(self._pairs), self.images)
        with module.trainer.precision_plugin.forward_context():
            batches = [*data.val_dataloader()] or [*data.test_dataloader()]
            latents = torch.cat([module.latent(batch["image"].to(module.device)).float() for batch in batches])
            return Traversed(pairs, *self._traversal(module, latents))

    def report(self, collected: Traversed, data: Data) -> Report:
        """Both figures."""
        original, reconstruction = (np.stack(column) for column in zip(*collected.pairs, strict=True))
        titles = ["test images", "reconstructed"]
        return Report(
            figures={
                "reconstruction": image_grid(titles, [original, reconstruction], columns=self.images),
                "traversal": image_grid(collected.titles, collected.rows, columns=self.steps),
            }
        )

    def _traversal(self, module: Module, latents: Tensor) -> tuple[list[str], list[np.ndarray]]:
        """Titles and images (steps, H, W) of each direction of latents (N, L)."""
        mean = latents.mean(0)
        _, sizes, directions = torch.linalg.svd(latents - mean, full_matrices=False)
        share, spread = sizes.square() / sizes.square().sum(), sizes / len(latents) ** 0.5
        reach = torch.linspace(-2.5, 2.5, self.steps).to(mean)
        titles, rows = [], []
        for number in range(min(self.traversed, len(sizes))):
            moved = mean + reach[:, None] * spread[number] * directions[number]
            titles.append(f"direction {number + 1} ({share[number]:.0%} of the variance): -2.5 to 2.5 SD")
            rows.append(module.decode(moved)[:, 0].float().cpu().numpy())
        return titles, rows
