"""Test images beside their reconstructions, and what each latent does to one of them."""

from typing import Any

import lightning as L
import numpy as np
import torch

from medzoo.callbacks.output import save_figures
from medzoo.evaluation.figures import pairs_figure, traversal_figure

__all__ = ["LatentFigures"]


class LatentFigures(L.Callback):
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
        self.images, self.dimensions, self.span = images, dimensions, span

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: int
    ) -> None:
        """Draw from the first batch of the first process."""
        if batch_idx or not trainer.is_global_zero:
            return
        module: Any = pl_module
        first, second = outputs["first"], outputs["second"]
        with torch.no_grad():
            said = module.reconstruct(batch, (first, second))
            alone = module.decode(first, torch.zeros_like(second))
            moved, steps, chosen = self._moved(module, first, second)
        rows = {"image": batch["image"], "reconstruction": said, f"{module.part_names[0]} alone": alone}
        title = f"one image, {module.part_names[1]} moved, {module.part_names[0]} as it is"
        figures = {
            "reconstructions": pairs_figure(
                {name: each[: self.images].float().cpu().numpy() for name, each in rows.items()}
            ),
            "traversals": traversal_figure(moved, steps, [f"latent {index}" for index in chosen], title),
        }
        save_figures(trainer, figures)

    def _moved(
        self, module: Any, first: torch.Tensor, second: torch.Tensor
    ) -> tuple[np.ndarray, list[float], list[int]]:
        """Images (R, S, C, *spatial), the S steps, and the R latents."""
        chosen = second.var(0, correction=0).argsort(descending=True)[: self.dimensions].tolist()
        steps = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]) * self.span
        codes = second[:1].repeat(len(chosen) * len(steps), 1)
        for row, index in enumerate(chosen):
            codes[row * len(steps) : (row + 1) * len(steps), index] = steps.to(codes)
        images = module.decode(first[:1].expand(len(codes), -1), codes).float().cpu().numpy()
        return images.reshape(len(chosen), len(steps), *images.shape[1:]), steps.tolist(), chosen
