"""Figures of a nomogram's report, and where in the images its score comes from."""

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from medzoo.callbacks.nomogram.study import Study
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

__all__ = ["heat_maps", "nomogram_figures", "score_traversal"]

_SHOWN = (NOMOGRAM, CLINICAL, SCORE_ALONE)  # decision curves of all models would hide each other


def nomogram_figures(study: Study) -> dict[str, Figure]:
    """The nomogram; of the test cases ROC curves with readers, calibration and decision curves."""
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


@torch.no_grad()
def score_traversal(module: Any) -> Figure:
    """What the decoder draws for the mean latent of each score, from the 2nd percentile of scores to the 98th."""
    latents, scores = module.nomogram.latent, module.nomogram.score.tolist()
    drawn = module.decode(latents.float().to(module.device))[:, 0].cpu().numpy()
    title = f"What the decoder draws of image scores from {scores[0]:.1f} to {scores[-1]:.1f}"
    return image_grid([title], [drawn], columns=len(scores))


def heat_maps(module: Any, datamodule: Any, study: Study, count: int, layer: str) -> Figure:
    """Grad-CAM of the image score: of each class the test images with the largest and with the smallest score.

    Args:
        module: With `image_score`.
        datamodule: With `plain`.
        study: What came out.
        count: Images, a quarter of each kind.
        layer: Of the module.

    Returns:
        The figure; titles have the probability of the case by the nomogram.
    """
    cases, scores = study.table, study.table.images.score
    place = {name: row for row, name in enumerate(cases.names)}
    rows = np.array([place[name] for name in cases.images.case])
    label, order, each = cases.positive[rows].astype(int), np.argsort(scores), max(1, count // 4)
    groups = [[image for image in order if label[image] == value] for value in (0, 1)]
    chosen = [image for group in groups for image in dict.fromkeys([*group[-each:][::-1], *group[:each]])]
    images = [image for batch in datamodule.ordered_dataloader("test") for image in batch["image"]]
    net = _ScoreLogits(module)
    maps = [grad_cam(net, images[image][None].to(module.device), 0, f"module.{layer}")[0] for image in chosen]
    prob = study.probabilities[NOMOGRAM][rows[chosen]]
    return explanation_figure(
        [images[image][:1].numpy() for image in chosen],
        [one.cpu().numpy() for one in maps],
        [1] * len(chosen),
        [label[image] for image in chosen],
        [np.array([1 - value, value]) for value in prob],
        study.reading.record["classes"],
    )


class _ScoreLogits(nn.Module):
    """The image score as the only logit of a network."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> Tensor:
        return self.module.image_score(image)[:, None]
