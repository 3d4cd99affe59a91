"""Figures of a nomogram's report, and heat maps of its image score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from medzoo.callbacks.nomogram.study import Data, Module, Study
from medzoo.evaluation.explanation.gradcam import grad_cam
from medzoo.evaluation.figures import (
    calibration_figure,
    decision_figure,
    explanation_figure,
    image_grid,
    models_roc_figure,
    nomogram_figure,
)
from medzoo.evaluation.nomogram.study import CLINICAL, NOMOGRAM, SCORE_ALONE

__all__ = [
    "HeatMap",
    "Traversal",
    "heat_map_figure",
    "heat_maps",
    "nomogram_figures",
    "traversal_figure",
    "traverse",
]

_SHOWN = (NOMOGRAM, CLINICAL, SCORE_ALONE)  # decision curves of all models would hide each other


def nomogram_figures(study: Study) -> dict[str, Figure]:
    """The nomogram; for the test cases, ROC curves with readers, calibration and decision curves."""
    reading, table, prob = study.reading, study.table, study.probabilities
    outcome = f"probability of {reading.outcome}\n{reading.share_told}"
    figures = {"nomogram": nomogram_figure(reading.nomogram, names=reading.titles, outcome=outcome)}
    if not table:
        return figures
    positive, calls = table.positive, {name: called for name, (_, called) in table.readers.items()}
    both = np.stack([1 - prob[NOMOGRAM], prob[NOMOGRAM]], axis=1)
    return {
        **figures,
        "models_roc": models_roc_figure(positive, prob, calls),
        "calibration": calibration_figure(positive.astype(int), both, reading.record["classes"]),
        "decision": decision_figure(positive, {name: prob[name] for name in _SHOWN if name in prob}, compared=True),
    }


@dataclass(frozen=True)
class Traversal:
    """Images (S, H, W) that the decoder draws of S image scores."""

    scores: Sequence[float]
    images: np.ndarray


@dataclass(frozen=True)
class HeatMap:
    """An image (C, H, W) with the evidence for its score (H, W), its label, and the probability of its case."""

    image: np.ndarray
    evidence: np.ndarray
    label: int
    probability: float


@torch.no_grad()
def traverse(module: Module) -> Traversal:
    """Decode the mean latent of each score, from the 2nd percentile of scores to the 98th."""
    latents = module.nomogram.latent
    images = module.decode(latents.float().to(module.device))[:, 0].cpu().numpy()
    return Traversal(module.nomogram.score.tolist(), images)


def traversal_figure(traversal: Traversal) -> Figure:
    """The decoded images in a row."""
    low, high = traversal.scores[0], traversal.scores[-1]
    title = f"What the decoder draws of image scores from {low:.1f} to {high:.1f}"
    return image_grid([title], [traversal.images], columns=len(traversal.scores))


def heat_maps(module: Module, data: Data, study: Study, count: int, layer: str) -> list[HeatMap]:
    """Grad-CAM of the image score: of each class the test images with the largest and with the smallest score.

    Args:
        module: With `image_score`.
        data: With images.
        study: With test cases that have images.
        count: Images, a quarter of each kind.
        layer: Of the module.

    Returns:
        The images with their maps.
    """
    cases = study.table
    if cases is None or cases.images is None:
        return []
    place = {name: row for row, name in enumerate(cases.names)}
    rows = np.array([place[name] for name in cases.images.case])
    label, order, each = cases.positive[rows].astype(int), np.argsort(cases.images.score), max(1, count // 4)
    groups = [[image for image in order if label[image] == value] for value in (0, 1)]
    chosen = [image for group in groups for image in dict.fromkeys([*group[-each:][::-1], *group[:each]])]
    images = [image for batch in data.ordered_dataloader("test") for image in batch["image"]]
    net, prob = _ScoreLogits(module), study.probabilities[NOMOGRAM][rows]
    found = []
    for image in chosen:
        evidence = grad_cam(net, images[image][None].to(module.device), 0, f"module.{layer}")[0].cpu().numpy()
        found.append(HeatMap(images[image][:1].numpy(), evidence, int(label[image]), float(prob[image])))
    return found


def heat_map_figure(maps: Sequence[HeatMap], classes: Sequence[str]) -> Figure:
    """The images with their maps; titles have the probability of the case by the nomogram."""
    return explanation_figure(
        [each.image for each in maps],
        [each.evidence for each in maps],
        [1] * len(maps),
        [each.label for each in maps],
        [np.array([1 - each.probability, each.probability]) for each in maps],
        classes,
    )


class _ScoreLogits(nn.Module):
    """The image score as the only logit of a network."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> Tensor:
        return self.module.image_score(image)[:, None]
