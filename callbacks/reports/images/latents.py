"""Test images beside their reconstructions, and what each latent does to one of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from medzoo.callbacks.collect import Batch
from medzoo.callbacks.output import Report
from medzoo.callbacks.reports.base import TestReport
from medzoo.evaluation.figures import pairs_figure, traversal_figure

__all__ = ["LatentFigures", "Latents"]


class Module(Protocol):
    """Members of the module that are used."""

    part_names: tuple[str, str]

    def reconstruct(self, batch: Batch, parts: tuple[Tensor, Tensor]) -> Tensor:
        """Images of a batch, from both parts of their code."""

    def decode(self, first: Tensor, second: Tensor) -> Tensor:
        """Images (N, C, *spatial) of both parts of codes."""


@dataclass(frozen=True)
class Latents:
    """Images of the first batch.

    Attributes:
        names: Of both parts.
        rows: Images (C, *spatial) by the name of their version.
        moved: (R, S, C, *spatial): one image, with R latents moved by S steps.
        steps: S, in standard deviations of the prior.
        chosen: The R latents.
    """

    names: tuple[str, str]
    rows: Mapping[str, Sequence[np.ndarray]]
    moved: np.ndarray
    steps: Sequence[float]
    chosen: Sequence[int]


class LatentFigures(TestReport[Module, object, Latents | None]):
    """Draws `reconstructions.png`, and `traversals.png` of the latents that vary most over the first test batch.

    With `TwoPartVAEModule`. Reconstructions are drawn from both parts, and from the first with the second set
    to 0; in traversals the second part of the first image is moved, and its first part stays.

    Args:
        images: How many are drawn.
        dimensions: How many latents are moved.
        span: How far, in standard deviations of the prior, to either side.
    """

    def __init__(self, images: int = 8, dimensions: int = 6, span: float = 2.0) -> None:
        if min(images, dimensions) < 1 or span <= 0:
            raise ValueError(f"images={images}, dimensions={dimensions} and span={span} must be positive")
        super().__init__()
        self.images, self.dimensions, self.span = images, dimensions, span

    def reset(self) -> None:
        """Forget earlier batches."""
        self._first: tuple[Batch, Batch] | None = None

    def keep(self, outputs: Batch, batch: Batch, data: object) -> None:
        """Keep the first batch of this process."""
        self._first = self._first or (outputs, batch)

    def collected(self, module: Module, data: object) -> Latents | None:
        """Decode the first batch, and one of its images with latents moved."""
        if self._first is None:
            return None
        outputs, batch = self._first
        first, second = outputs["first"], outputs["second"]
        with torch.no_grad():
            both = module.reconstruct(batch, (first, second))
            alone = module.decode(first, torch.zeros_like(second))
            moved, steps, chosen = self._moved(module, first, second)
        rows = {"image": batch["image"], "reconstruction": both, f"{module.part_names[0]} alone": alone}
        shown = {name: [*each[: self.images].float().cpu().numpy()] for name, each in rows.items()}
        return Latents(module.part_names, shown, moved, steps, chosen)

    def report(self, collected: Latents | None, data: object) -> Report:
        """Both figures."""
        if collected is None:
            return Report()
        title = f"one image, {collected.names[1]} moved, {collected.names[0]} as it is"
        names = [f"latent {index}" for index in collected.chosen]
        return Report(
            figures={
                "reconstructions": pairs_figure(collected.rows),
                "traversals": traversal_figure(collected.moved, collected.steps, names, title),
            }
        )

    def _moved(self, module: Module, first: Tensor, second: Tensor) -> tuple[np.ndarray, list[float], list[int]]:
        """Images (R, S, C, *spatial), the S steps, and the R latents."""
        chosen = second.var(0, correction=0).argsort(descending=True)[: self.dimensions].tolist()
        steps = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]) * self.span
        codes = second[:1].repeat(len(chosen) * len(steps), 1)
        for row, index in enumerate(chosen):
            codes[row * len(steps) : (row + 1) * len(steps), index] = steps.to(codes)
        images = module.decode(first[:1].expand(len(codes), -1), codes).float().cpu().numpy()
        return images.reshape(len(chosen), len(steps), *images.shape[1:]), steps.tolist(), chosen
