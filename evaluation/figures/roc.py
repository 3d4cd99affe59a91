"""ROC curves: of the classes of a classifier, of scores of the same patients, of models and readers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from medzoo.evaluation.figures.style import new_figure
from medzoo.evaluation.scores.classification import auc, bootstrap_auc, one_vs_rest
from medzoo.evaluation.scores.diagnostic import delong, rates
from medzoo.evaluation.scores.intervals import interval_text, percentile_interval

__all__ = ["class_roc_figure", "models_roc_figure", "roc_figure"]

_MARKS = "osD^v*"


class _Curve(NamedTuple):
    """A score (N,) of cases that are positive (N,) or not, and its area with the bounds of a 95% interval."""

    name: str
    positive: np.ndarray
    score: np.ndarray
    area: Mapping[str, float]


def class_roc_figure(
    labels: np.ndarray, prob: np.ndarray, class_names: Sequence[str], *, resamples: int = 1000
) -> Figure:
    """One-versus-rest ROC curves with bootstrap 95% intervals of their areas; for two classes, one curve.

    Args:
        labels: (N,) class indices or (N, K) zeros and ones.
        prob: (N, K) probabilities.
        class_names: K names.
        resamples: Bootstrap draws behind each interval.

    Returns:
        The figure.
    """
    truth = one_vs_rest(labels, len(class_names))
    binary = labels.ndim == 1 and len(class_names) == 2
    return _figure(
        [
            _bootstrapped(class_names[k], truth[:, k], prob[:, k], resamples)
            for k in ([1] if binary else range(len(class_names)))
            if truth[:, k].min() != truth[:, k].max()
        ],
        legend=8 if len(class_names) < 9 else 6,
    )


def roc_figure(
    positive: np.ndarray, scores: Mapping[str, np.ndarray], *, resamples: int = 1000, outcome: str = "Positive"
) -> Figure:
    """ROC curves of one score or more of the same patients, with bootstrap 95% intervals of their areas.

    Args:
        positive: (N,) bool.
        scores: (N,) by name.
        resamples: Bootstrap draws behind each interval.
        outcome: What positive patients have, for the title.

    Returns:
        The figure; without curves if all patients are of one class.
    """
    count, mixed = int(positive.sum()), bool(positive.any() and not positive.all())
    curves = [_bootstrapped(name, positive.astype(int), score, resamples) for name, score in scores.items() if mixed]
    what = f", {count} of {len(positive)} patients" if mixed else ": only one class present"
    return _figure(curves, outcome + what, legend=8)


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
    curves = [_Curve(name, positive, score, delong(positive, score)) for name, score in scores.items()]
    return _figure(curves, legend=7, first_strongest=True, readers=readers)


def _bootstrapped(name: str, positive: np.ndarray, score: np.ndarray, resamples: int) -> _Curve:
    low, high = percentile_interval(bootstrap_auc(positive, score, resamples=resamples))
    area = {"auc": float(auc(positive, score)[0]), "auc_low": low, "auc_high": high}
    return _Curve(name, positive, score, area)


def _figure(
    curves: Sequence[_Curve],
    title: str = "ROC, area with 95% interval",
    *,
    legend: int,
    first_strongest: bool = False,
    readers: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """The figure; `legend` is the size of its letters."""
    figure, axes = new_figure(*((5.6, 5.4) if first_strongest else (5.2, 5)))
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1, zorder=0)
    for place, curve in enumerate(curves):
        width = (2.4 if place == 0 else 1.1) if first_strongest else 1.8
        false_positive, sensitivity, _ = roc_curve(curve.positive, curve.score)
        label = f"{curve.name}: {interval_text(curve.area, 'auc')}"
        above = 3 if first_strongest and place == 0 else 2
        axes.plot(false_positive, sensitivity, label=label, linewidth=width, zorder=above)
    for mark, (name, calls) in zip(_MARKS, (readers or {}).items(), strict=False):
        read = np.isfinite(calls)
        _reader(axes, mark, name, rates(curves[0].positive[read], calls[read] == 1))
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title=title, aspect="equal")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    if curves:
        axes.legend(loc="lower right", fontsize=legend)
    return figure


def _reader(axes: Axes, mark: str, name: str, called: Mapping[str, float]) -> None:
    """A point with its intervals."""
    x, y = 1 - called["specificity"], called["sensitivity"]
    reach_x = [[x - (1 - called["specificity_high"])], [1 - called["specificity_low"] - x]]
    reach_y = [[y - called["sensitivity_low"]], [called["sensitivity_high"] - y]]
    axes.errorbar(
        x,
        y,
        np.abs(reach_y),
        np.abs(reach_x),
        fmt=mark,
        label=f"reader, {name}",
        color="black",
        markersize=6,
        elinewidth=0.6,
        capsize=2,
        zorder=4,
    )
