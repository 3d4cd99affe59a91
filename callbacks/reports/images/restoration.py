"""Parts of test images as they were, as they were corrupted, and as the network restored them."""

from collections.abc import Sequence
from dataclasses import dataclass

import lightning as L
import numpy as np

from medzoo.callbacks.collect import Batch
from medzoo.callbacks.output import Report
from medzoo.callbacks.reports.base import TestReport
from medzoo.callbacks.reports.images.chosen import check_count, every_nth
from medzoo.evaluation.figures import pairs_figure

__all__ = ["RestorationFigures", "Restored"]


@dataclass(frozen=True)
class Restored:
    """A part of an image (C, *spatial) in three versions, and the names of its corruptions, with commas."""

    original: np.ndarray
    corrupted: np.ndarray
    restored: np.ndarray
    corruption: str


class RestorationFigures(TestReport[L.LightningModule, object, Sequence[Restored]]):
    """Draws `figures/restoration.png` of parts of test images, every n-th, so that all of the split is seen.

    Args:
        images: How many are drawn.
    """

    def __init__(self, images: int = 8) -> None:
        super().__init__()
        self.images = check_count(images)

    def reset(self) -> None:
        """Forget earlier batches."""
        self._kept: list[Restored] = []

    def keep(self, outputs: Batch, batch: Batch, data: object) -> None:
        """Keep the first part of a batch: all of a batch may be of one image."""
        versions = batch["target"], batch["image"], outputs["restored"]
        original, corrupted, restored = (each[0].float().cpu().numpy() for each in versions)
        self._kept.append(Restored(original, corrupted, restored, batch["corruption"][0]))

    def collected(self, module: L.LightningModule, data: object) -> Sequence[Restored]:
        """Some parts of the images of this process."""
        return every_nth(self._kept, self.images)

    def report(self, collected: Sequence[Restored], data: object) -> Report:
        """The figure."""
        rows = {
            "original": [each.original for each in collected],
            "corrupted": [each.corrupted for each in collected],
            "restored": [each.restored for each in collected],
        }
        titles = [each.corruption.replace(", ", "\n") for each in collected]
        return Report(figures={"restoration": pairs_figure(rows, titles)})
