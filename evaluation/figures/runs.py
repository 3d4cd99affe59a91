"""Pictures of runs rather than of patients: how training went, how the settings of a sweep compare."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from evaluation.figures.style import COLOURS, new_figure

__all__ = ["sweep_figure", "training_figure"]


def training_figure(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Figure:
    """Losses in one panel, every other quantity in a second.

    Args:
        curves: For each logged name its steps and values.

    Returns:
        The figure.
    """
    losses = {name: curve for name, curve in curves.items() if name.split("/")[-1].startswith("loss")}
    scores = {name: curve for name, curve in curves.items() if name not in losses}
    panels = [group for group in (losses, scores) if group] or [{}]
    figure, axes = new_figure(5 * len(panels), 3.4, 1, len(panels), squeeze=False)
    for panel, group, title in zip(axes[0], panels, ("loss", "validation"), strict=False):
        for (name, (steps, values)), colour in zip(group.items(), COLOURS, strict=False):
            panel.plot(steps, values, label=name, color=colour, linewidth=1.5, marker="." if len(steps) < 30 else None)
        panel.set(xlabel="step", title=title if group else "nothing was logged")
        if group:
            panel.legend(fontsize=8)
    return figure


def sweep_figure(settings: Sequence[str], values: Sequence[Sequence[float]], metric: str) -> Figure:
    """Mean and standard deviation of a metric for each setting, with every run as a dot.

    Args:
        settings: Name of each setting.
        values: The metric of each run of a setting.
        metric: Its name.

    Returns:
        The figure.
    """
    figure, axes = new_figure(6.5, 1.2 + 0.42 * len(settings))
    rows = np.arange(len(settings))[::-1]
    for row, runs in zip(rows, values, strict=True):
        spread = np.std(runs, ddof=1) if len(runs) > 1 else 0.0
        axes.plot(runs, [row + 0.18] * len(runs), ".", color="0.6", markersize=5)
        axes.errorbar(np.mean(runs), row, xerr=spread, fmt="o", color=COLOURS[0], capsize=3)
    axes.set_yticks(rows, settings)
    axes.set(xlabel=f"{metric} (mean ± sd, dots are runs)", ylim=(-0.6, len(settings) - 0.4))
    axes.grid(axis="x", color="0.9")
    return figure
