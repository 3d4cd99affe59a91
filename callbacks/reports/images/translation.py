"""Images of one kind, translated into the other kind and back."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from medzoo.callbacks.collect import Batch
from medzoo.callbacks.output import Report
from medzoo.callbacks.reports.base import TestReport
from medzoo.callbacks.reports.images.chosen import check_count
from medzoo.evaluation.figures import pairs_figure

__all__ = ["TranslationFigures"]

Rows = Mapping[str, Sequence[np.ndarray]]
"""Images (1, H, W) by the name of their row."""


class Module(Protocol):
    """Members of the module that are used."""

    def to_b(self, image: Tensor) -> Tensor:
        """Images of A in [-1, 1], as B."""


class Data(Protocol):
    """Members of the datamodule that are used."""

    split: Mapping[str, Sequence[str]]
    spatial_dims: int

    def val_dataloader(self) -> Iterable[Batch]:
        """Batches of A."""


class TranslationFigures(TestReport[Module, Data, Rows]):
    """Draws `figures/translation.png`: the middle slice of test cases of B, as A, and back; and one of A beside them.

    Args:
        images: How many are drawn.
    """

    def __init__(self, images: int = 8) -> None:
        super().__init__()
        self.images = check_count(images)

    def reset(self) -> None:
        """Forget earlier batches."""
        self._slices: list[list[Tensor]] = []

    def keep(self, outputs: Batch, batch: Batch, data: Data) -> None:
        """Keep the middle slice of the first channel."""
        if len(self._slices) < self.images:
            pair = batch["image"], outputs["translated"]
            self._slices.append([each[:, :, each.shape[2] // 2] if each.ndim == 5 else each for each in pair])

    def collected(self, module: Module, data: Data) -> Rows:
        """The images of this process, by row."""
        if not self._slices:
            return {}
        raw, translated = (torch.cat(column) for column in zip(*self._slices, strict=True))
        with torch.no_grad():
            back = (module.to_b(2 * translated - 1) + 1) / 2
        rows = {"B": raw, "B as A": translated, "and back": back}
        if data.split.get("val"):  # another cohort has none of A
            rows["others of A"] = torch.cat([batch["image"] for batch in data.val_dataloader()])
        shown = min(len(images) for images in rows.values())  # a short validation has few of A
        turned = [-2, -1] if data.spatial_dims == 3 else []  # RAS to front up
        return {
            name: [image[:1].flip(turned).float().cpu().numpy() for image in images[:shown]]
            for name, images in rows.items()
        }

    def report(self, collected: Rows, data: Data) -> Report:
        """The figure."""
        return Report(figures={"translation": pairs_figure(collected)} if collected else {})
