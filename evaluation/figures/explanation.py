"""Images beside the same with the evidence for a class over them."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from medzoo.evaluation.figures.style import COLOURS, new_figure, picture_of, shortened

__all__ = ["explanation_figure"]

_EVIDENCE = matplotlib.colormaps["plasma"]  # its lightness rises steadily, so it can be read with any colour vision
_STRONGEST = 0.65  # opacity of the largest value: the image below stays visible


def explanation_figure(
    images: Sequence[np.ndarray],
    maps: Sequence[np.ndarray],
    targets: Sequence[int],
    labels: Sequence[int],
    prob: Sequence[np.ndarray],
    class_names: Sequence[str],
) -> Figure:
    """Two cases a row, each image plain and under its map; volumes show the slice with most of the map.

    The title of a wrongly classified case is orange. No identifier is drawn, because figures may leave the machine
    with the dashboard.

    Args:
        images: M of (C, *spatial) of any range.
        maps: M of (*spatial) in [0, 1], from `evaluation.explanation.gradcam.grad_cam`.
        targets: The class of each map.
        labels: The true classes.
        prob: Probabilities (K,) of each case.
        class_names: K names.

    Returns:
        The figure.
    """
    rows = max(1, -(-len(images) // 2))
    figure, axes = new_figure(9.2, 2.25 * rows + 0.5, rows, 5, squeeze=False, width_ratios=(1, 1, 0.06, 1, 1))
    for cell in axes.flat:
        cell.axis("off")
    pairs = axes[:, [0, 1, 3, 4]].reshape(-1, 2)
    for pair, image, evidence, target, label, row in zip(pairs, images, maps, targets, labels, prob, strict=False):
        _draw(pair, image, evidence)
        colour = "black" if row.argmax() == label else COLOURS[1]
        title = f"{shortened(class_names[target])} {row[target]:.2f}, true {shortened(class_names[label])}"
        pair[0].set_title(title, fontsize=9, loc="left", color=colour)
    what = f"“{class_names[targets[0]]}”" if len(set(targets)) == 1 else "the class in the title"
    figure.suptitle(f"Grad-CAM: what speaks for {what} (orange titles: wrong predictions)")
    look: dict[str, Any] = {"fraction": 0.03, "pad": 0.02, "aspect": 30, "shrink": 0.95 if rows < 3 else 0.6}
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), _EVIDENCE), ax=axes, **look)
    bar.set_label("evidence / the largest in its image")
    return figure


def _draw(pair: Sequence, image: np.ndarray, evidence: np.ndarray) -> None:
    """An image, and the same with the map over it."""
    plane = None
    if evidence.ndim == 3:
        plane = int(evidence.sum((1, 2)).argmax()) if evidence.any() else len(evidence) // 2
        evidence = evidence[plane]
    picture = picture_of(image, plane)
    for cell in pair:
        cell.imshow(picture, cmap="gray" if picture.ndim == 2 else None)
    tint = _EVIDENCE(evidence)
    tint[..., 3] = _STRONGEST * evidence
    pair[1].imshow(tint)
    if not evidence.any():
        look: dict[str, Any] = {"color": "white", "bbox": {"facecolor": "black", "alpha": 0.6, "linewidth": 0}}
        pair[1].text(0.5, 0.06, "no evidence", ha="center", fontsize=9, transform=pair[1].transAxes, **look)
