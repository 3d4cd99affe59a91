"""Figures of runs rather than patients: curves of training, comparisons of the settings of a sweep."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from medzoo.evaluation.figures.style import COLOURS, new_figure

__all__ = ["grid_figure", "image_grid", "sweep_figure", "training_figure"]


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


def grid_figure(
    runs: Sequence[tuple[str, str, str, float]], names: tuple[str, str, str], metric: str, columns: int = 4
) -> Figure:
    """A metric of runs that differ in three settings: along the axis, by line and by panel, means over other settings.

    Args:
        runs: For each, the settings (axis, line, panel), and the metric.
        names: Names of the three settings; an empty one has the same value in all runs.
        metric: Its name.
        columns: Panels in a row.

    Returns:
        The figure.
    """
    places = sorted({place for place, *_ in runs}, key=_number)
    lines, panels = list(dict.fromkeys(run[1] for run in runs)), list(dict.fromkeys(run[2] for run in runs))
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure, axes = new_figure(
        3.4 + 2.6 * columns, 0.8 + 2.3 * rows, rows, columns, squeeze=False, sharex=True, sharey=True
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        for line, colour in zip(lines, itertools.cycle(COLOURS), strict=False):
            values = [[run[3] for run in runs if run[:3] == (place, line, panel)] for place in places]
            shown = [index for index, found in enumerate(values) if found]
            spread = [np.std(values[index], ddof=1) if len(values[index]) > 1 else 0.0 for index in shown]
            means = [np.mean(values[index]) for index in shown]
            axis.errorbar(shown, means, yerr=spread, color=colour, marker="o", markersize=4, capsize=2, label=line)
        axis.set_title(panel, fontsize=8)
        axis.set_xticks(range(len(places)), places)
        axis.grid(axis="y", color="0.9")
    figure.supxlabel(names[0], fontsize=10)
    figure.supylabel(f"{metric} (mean ± sd)", fontsize=10)
    if len(lines) > 1:
        handles = axes[0, 0].get_legend_handles_labels()
        figure.legend(*handles, title=names[1], loc="outside right upper", fontsize=8)
    return figure


def _number(setting: str) -> tuple[int, float, str]:
    """Sorts numbers by value, then words by letter."""
    try:
        return (0, float(setting), "")
    except ValueError:
        return (1, 0.0, setting)


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
