"""Whether acting on a score would do good."""

import numpy as np
from matplotlib.figure import Figure

from medzoo.evaluation.figures.style import COLOURS, new_figure
from medzoo.evaluation.scores.diagnostic import decision_curve

__all__ = ["decision_figure"]


def decision_figure(positive: np.ndarray, prob: np.ndarray) -> Figure:
    """Net benefit over the threshold, beside treating all and none (`evaluation.scores.diagnostic.decision_curve`).

    Args:
        positive: (N,) bool.
        prob: (N,).

    Returns:
        The figure.
    """
    thresholds = np.linspace(0.01, 0.6, 60)
    curves = decision_curve(positive, prob, thresholds)
    figure, axes = new_figure(4.2, 3.6)
    axes.plot(thresholds, curves["model"], color=COLOURS[0], label="model")
    axes.plot(thresholds, curves["all"], color="0.5", label="treat all")
    axes.axhline(0, color="0.5", linestyle="dotted", label="treat none")
    share = float(np.mean(positive))
    axes.set(xlabel="threshold probability", ylabel="net benefit", ylim=(-0.3 * share, 1.15 * share), xlim=(0, 0.6))
    axes.legend(fontsize=8)
    return figure
