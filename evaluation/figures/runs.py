"""Pictures of runs rather than of patients: how training went, how the settings of a sweep compare."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from evaluation.figures.style import COLOURS, new_figure

__all__ = ["image_grid", "sweep_figure", "training_figure"]


def training_figure(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """A panel for each quantity, with its training and validation in the same one.

    Args:
        curves: For each logged name, `<split>/<quantity>`, its steps and values.

    Returns:
        The figure.
    """
    quantities: dict[str, list[str]] = {}
    for name in curves:
        quantities.setdefault(name.split("/")[-1].removesuffix("_epoch").removesuffix("_step"), []).append(name)
    columns = min(len(quantities), 3) or 1
    rows = math.ceil(len(quantities) / columns) or 1
    figure, axes = new_figure(max(5, 3.6 * columns), 3.0 * rows, rows, columns, squeeze=False)
    for panel in axes.flat[len(quantities) :]:
        panel.set(title="nothing was logged") if not quantities else panel.set_visible(False)
    for panel, (quantity, names) in zip(axes.flat, quantities.items(), strict=False):
        for name, colour in zip(names, COLOURS, strict=False):
            steps, values = curves[name]
            style = {"marker": "."} if len(steps) < 30 else {"alpha": 0.8}
            panel.plot(steps, values, label=name, color=colour, linewidth=1.5, **style)
        panel.set(xlabel="step", title=quantity)
        panel.legend(fontsize=8)
    return figure


def sweep_figure(settings: Sequence[str], panels: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Mean and standard deviation of metrics for each setting, with every run as a dot.

    Args:
        settings: Name of each setting.
        panels: By the name of a metric, for each setting the metric of each of its runs.

    Returns:
        The figure.
    """
    figure, grid = new_figure(2.9 + 3.6 * len(panels), 1.2 + 0.42 * len(settings), 1, len(panels), squeeze=False)
    rows = np.arange(len(settings))[::-1]
    for axes, (metric, values) in zip(grid[0], panels.items(), strict=True):
        for row, runs in zip(rows, values, strict=True):
            spread = np.std(runs, ddof=1) if len(runs) > 1 else 0.0
            axes.plot(runs, [row + 0.18] * len(runs), ".", color="0.6", markersize=5)
            if runs:
                axes.errorbar(np.mean(runs), row, xerr=spread, fmt="o", color=COLOURS[0], capsize=3)
        axes.set_yticks(rows, settings if axes is grid[0, 0] else [])
        axes.set(xlabel=f"{metric} (mean ± sd, dots are runs)", ylim=(-0.6, len(settings) - 0.4))
        axes.grid(axis="x", color="0.9")
        axes.locator_params(axis="x", nbins=4)
    return figure


def image_grid(titles: Sequence[str], rows: Sequence[np.ndarray], columns: int = 8) -> Figure:
    """Groups of small grey images under titles.

    Args:
        titles: Of each group.
        rows: (N, H, W) in [0, 1] of each group.
        columns: Images in a line.

    Returns:
        The figure.
    """
    figure, axes = new_figure(
        columns * 0.9, sum(math.ceil(len(row) / columns) for row in rows) + 0.3, len(rows), 1, squeeze=False
    )
    for panel, title, images in zip(axes[:, 0], titles, rows, strict=True):
        lines = math.ceil(len(images) / columns)
        height, width = images.shape[1:]
        canvas = np.ones((lines * (height + 1), columns * (width + 1)))
        for index, image in enumerate(images):
            top, left = index // columns * (height + 1), index % columns * (width + 1)
            canvas[top : top + height, left : left + width] = image
        panel.imshow(canvas, cmap="gray", vmin=0, vmax=1)
        panel.set_title(title, fontsize=9, loc="left")
        panel.set_axis_off()
    return figure
