"""Whether treating patients by a model's probabilities does more good than treating all of them, or none."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from medzoo.evaluation.figures.style import COLOURS, new_figure
from medzoo.evaluation.scores.diagnostic import decision_curve

__all__ = ["decision_figure"]


def decision_figure(positive: np.ndarray, probabilities: Mapping[str, np.ndarray], *, compared: bool = False) -> Figure:
    """Net benefit over the threshold, beside treating all and none (`evaluation.scores.diagnostic.decision_curve`).

    Args:
        positive: (N,) bool.
        probabilities: (N,) by model; where models are compared, the first is drawn strongest.
        compared: Whether models are compared, in a larger figure with thresholds up to 0.8 rather than 0.6.

    Returns:
        The figure.
    """
    thresholds = np.linspace(0.01, 0.8, 80) if compared else np.linspace(0.01, 0.6, 60)
    figure, axes = new_figure(*((5.2, 4.2) if compared else (4.2, 3.6)))
    for place, (name, prob) in enumerate(probabilities.items()):
        curve = decision_curve(positive, prob, thresholds)
        width = (2.2 if place == 0 else 1.1) if compared else 1.5
        axes.plot(thresholds, curve["model"], label=name, linewidth=width, color=COLOURS[place])
        everyone = curve["all"]
    share = float(np.mean(positive))
    axes.plot(thresholds, everyone, color="0.5", label="treat all")
    axes.axhline(0, color="0.5", linestyle="dotted", label="treat none")
    axes.set(xlabel="threshold probability", ylabel="net benefit", title="Decision curves" if compared else "")
    reach = (-0.2, 1.1) if compared else (-0.3, 1.15)
    axes.set(ylim=(reach[0] * share, reach[1] * share), xlim=(0, thresholds[-1]))
    axes.legend(fontsize=7 if compared else 8)
    return figure
