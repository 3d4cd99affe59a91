"""Predicted and reference label maps on their images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from medzoo.evaluation.figures.followup.head import display_slice
from medzoo.evaluation.figures.style import COLOURS, new_figure

__all__ = ["segmentation_figure"]


def segmentation_figure(
    titles: Sequence[str],
    images: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    references: Sequence[np.ndarray],
    spacings: Sequence[Sequence[float]],
    window: Sequence[float] | None = None,
) -> Figure:
    """A row for each case: the slice with most foreground, plain, with the reference and with the prediction.

    Args:
        titles: Of each case.
        images: (Z, H, W) of each volume or (H, W) of each picture, in any unit.
        predictions: (Z, H, W) label values of each case.
        references: The same.
        spacings: mm of a voxel, in the order of the axes.
        window: Intensities shown as black and white.

    Returns:
        The figure.
    """
    figure, axes = new_figure(7.5, 2.6 * len(titles) + 0.3, len(titles), 3, squeeze=False)
    for row, title, image, one, other, spacing in zip(
        axes, titles, images, predictions, references, spacings, strict=True
    ):
        upright = display_slice if image.ndim == 3 else np.asarray  # pictures are upright
        image, one, other = (part[None] if part.ndim == 2 else part for part in (image, one, other))
        at = int(np.argmax(((one > 0) | (other > 0)).sum(axis=(1, 2))))
        low, high = np.percentile(image[at], [1, 99.5]) if window is None else window
        for panel, mask in zip(row, (None, other, one), strict=True):
            panel.imshow(upright(image[at]), cmap="gray", vmin=low, vmax=high, aspect=spacing[-2] / spacing[-1])
            panel.set_axis_off()
            for value in np.unique(mask[at])[1:] if mask is not None and mask[at].any() else ():
                colour = COLOURS[(3 + int(value)) % len(COLOURS)]
                panel.contour(upright(mask[at] == value), [0.5], colors=[colour], linewidths=1.2)
        row[0].set_title(title, fontsize=8, loc="left")
    for panel, name in zip(axes[0][1:], ("true", "network"), strict=True):
        panel.set_title(name, fontsize=9)
    return figure
