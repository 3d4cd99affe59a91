"""Test slices with blood beside their reconstructions by an autoencoder."""

from collections.abc import Sequence

import lightning as L
import numpy as np

from medzoo.callbacks.collect import Batch, gather
from medzoo.callbacks.output import Report
from medzoo.callbacks.reports.base import TestReport
from medzoo.callbacks.reports.images.chosen import every_nth
from medzoo.evaluation.figures import reconstruction_figure

__all__ = ["ReconstructionFigures"]

Pair = tuple[np.ndarray, np.ndarray]
"""A slice (3, H, W) and its reconstruction."""


class ReconstructionFigures(TestReport[L.LightningModule, object, Sequence[Pair]]):
    """Draws `figures/reconstruction.png` of test slices with blood: every n-th, so that all of the split is seen.

    Args:
        slices: How many are drawn.
    """

    def __init__(self, slices: int = 6) -> None:
        super().__init__()
        self.slices = slices

    def reset(self) -> None:
        """Forget earlier batches."""
        self._pairs: list[Pair] = []

    def keep(self, outputs: Batch, batch: Batch, data: object) -> None:
        """Keep the slice with most blood of the batch."""
        image = batch["image"]
        blood = image[:, 1:].sum(dim=(1, 2, 3))
        index = int(blood.argmax())
        if blood[index] > 0:
            both = image[index], outputs["reconstruction"][index]
            self._pairs.append((both[0].float().cpu().numpy(), both[1].float().cpu().numpy()))

    def collected(self, module: L.LightningModule, data: object) -> Sequence[Pair]:
        """Some pairs of all ranks."""
        return every_nth(gather(self._pairs), self.slices)

    def report(self, collected: Sequence[Pair], data: object) -> Report:
        """The figure, where there was blood."""
        if not collected:
            return Report()
        original, reconstruction = (np.stack(column) for column in zip(*collected, strict=True))
        return Report(figures={"reconstruction": reconstruction_figure(original, reconstruction)})
