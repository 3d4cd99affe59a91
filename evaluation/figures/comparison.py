"""Models and readers on the same cases: ROC curves with the readers' points, and decision curves."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from medzoo.evaluation.figures.style import COLOURS, new_figure
from medzoo.evaluation.scores.diagnostic import decision_curve, delong, rates

__all__ = ["decisions_figure", "models_roc_figure"]

_MARKS = "osD^v*"


def models_roc_figure(
    positive: np.ndarray, scores: Mapping[str, np.ndarray], readers: Mapping[str, np.ndarray] | None = None
) -> Figure:
    """ROC curves with DeLong's 95% intervals of their areas, and a point with Wilson's intervals for each reader.

    Args:
        positive: (N,) bool.
        scores: (N,) by model; the first one is drawn strongest.
        readers: Calls (N,) of 0 and 1 by reader, NaN where a case was not read.

    Returns:
        The figure.
    """
    figure, axes = new_figure(5.6, 5.4)
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1, zorder=0)
    for place, (name, score) in enumerate(scores.items()):
        area, (false, true, _) = delong(positive, score), roc_curve(positive, score)
        label = f"{name}: {area['auc']:.3f} ({area['auc_low']:.3f} to {area['auc_high']:.3f})"
        axes.plot(false, true, label=label, linewidth=2.4 if place == 0 else 1.1, zorder=3 if place == 0 else 2)
    for mark, (name, calls) in zip(_MARKS, (readers or {}).items(), strict=False):
        read = np.isfinite(calls)
        said = rates(positive[read], calls[read] == 1)
        x, y = 1 - said["specificity"], said["sensitivity"]
        reach_x = [[x - (1 - said["specificity_high"])], [1 - said["specificity_low"] - x]]
        reach_y = [[y - said["sensitivity_low"]], [said["sensitivity_high"] - y]]
        look = {"color": "black", "markersize": 6, "elinewidth": 0.6, "capsize": 2, "zorder": 4}
        axes.errorbar(x, y, np.abs(reach_y), np.abs(reach_x), fmt=mark, label=f"reader, {name}", **look)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC, area with 95% interval", aspect="equal")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(loc="lower right", fontsize=7)
    return figure


def decisions_figure(positive: np.ndarray, probabilities: Mapping[str, np.ndarray]) -> Figure:
    """Net benefit of several models over the threshold, beside treating all and none.

    Args:
        positive: (N,) bool.
        probabilities: (N,) by model.

    Returns:
        The figure.
    """
    thresholds = np.linspace(0.01, 0.8, 80)
    figure, axes = new_figure(5.2, 4.2)
    for place, (name, prob) in enumerate(probabilities.items()):
        curve = decision_curve(positive, prob, thresholds)
        axes.plot(thresholds, curve["model"], label=name, linewidth=2.2 if place == 0 else 1.1, color=COLOURS[place])
        everyone = curve["all"]
    share = float(np.mean(positive))
    axes.plot(thresholds, everyone, color="0.5", label="treat all")
    axes.axhline(0, color="0.5", linestyle="dotted", label="treat none")
    axes.set(xlabel="threshold probability", ylabel="net benefit", title="Decision curves")
    axes.set(ylim=(-0.2 * share, 1.1 * share), xlim=(0, 0.8))
    axes.legend(fontsize=7)
    return figure
