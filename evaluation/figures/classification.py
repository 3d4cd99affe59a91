"""Figures of a classifier: its confusion matrix, the calibration of its probabilities, and its worst mistakes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from medzoo.evaluation.figures.style import COLOURS, new_figure, picture_of, shortened
from medzoo.evaluation.scores.classification import one_vs_rest

__all__ = ["calibration_figure", "confusion_figure", "mistakes_figure"]


def confusion_figure(labels: np.ndarray, prob: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Counts of true against predicted class, shaded by the share of each true class.

    Args:
        labels: (N,) class indices.
        prob: (N, K) probabilities; the prediction is their argmax.
        class_names: K names.

    Returns:
        The figure.
    """
    counts = confusion_matrix(labels, prob.argmax(1), labels=range(len(class_names)))
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    edge = max(3.6, 1.6 + 0.7 * len(class_names))
    figure, axes = new_figure(edge + 0.8, edge)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if share[row, column] > 0.55 else "black"
        axes.text(column, row, f"{count}\n{share[row, column]:.0%}", ha="center", va="center", color=colour, fontsize=9)
    ticks = range(len(class_names))
    axes.set_xticks(ticks, [shortened(name) for name in class_names], rotation=0 if len(class_names) < 4 else 60)
    axes.set_yticks(ticks, [shortened(name) for name in class_names])
    axes.set(xlabel="predicted", ylabel="true", title=f"Confusion matrix, n = {len(labels)}")
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, shrink=0.75, label="share of the true class")
    return figure


def calibration_figure(labels: np.ndarray, prob: np.ndarray, class_names: Sequence[str], bins: int = 8) -> Figure:
    """Observed frequency against predicted probability, in bins of equal counts, with the spread of predictions below.

    All classes are pooled one-versus-rest; for two classes, the last one is shown.

    Args:
        labels: (N,) class indices or (N, K) zeros and ones.
        prob: (N, K) probabilities.
        class_names: K names.
        bins: Number of bins.

    Returns:
        The figure.
    """
    truth = one_vs_rest(labels, len(class_names))
    binary = labels.ndim == 1 and len(class_names) == 2
    seen, predicted = (truth[:, 1], prob[:, 1]) if binary else (truth.ravel(), prob.ravel())
    groups = [group for group in np.array_split(np.argsort(predicted, kind="stable"), bins) if len(group)]
    centre = np.array([predicted[group].mean() for group in groups])
    observed = np.array([seen[group].mean() for group in groups])
    error = 1.96 * np.sqrt(np.maximum(observed * (1 - observed), 1e-12) / [len(group) for group in groups])
    brier = np.mean((predicted - seen) ** 2)

    figure, (axes, below) = new_figure(4.8, 5.6, rows=2, sharex=True, height_ratios=[4, 1])
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1)
    axes.errorbar(centre, observed, yerr=error, fmt="o-", color=COLOURS[0], markersize=4, linewidth=1.4, capsize=2)
    what = f"P({class_names[1]})" if binary else "P(class), all classes"
    axes.set(ylabel="observed frequency", title=f"Calibration, Brier score {brier:.3f}", ylim=(-0.03, 1.03))
    below.hist(predicted, bins=np.linspace(0, 1, 41), color=COLOURS[0])
    below.set(xlabel=f"predicted {what}", ylabel="cases", xlim=(-0.03, 1.03))
    return figure


def mistakes_figure(
    images: np.ndarray, labels: np.ndarray, prob: np.ndarray, class_names: Sequence[str], *, wrong: int, total: int
) -> Figure:
    """A grid of misclassified images, in the order given; volumes show their middle slice.

    No identifier is drawn, because figures may leave the machine with the dashboard.

    Args:
        images: (M, C, *spatial) of any range.
        labels: (M,) class indices.
        prob: (M, K) probabilities.
        class_names: K names.
        wrong: How many images were misclassified in all.
        total: How many images there were.

    Returns:
        The figure.
    """
    columns = 6
    rows = max(1, -(-len(images) // columns))
    figure, axes = new_figure(1.9 * columns, 2.3 * rows + 0.4, rows, columns, squeeze=False)
    for cell in axes.flat:
        cell.axis("off")
    for cell, image, label, row in zip(axes.flat, images, labels, prob, strict=False):
        picture = picture_of(image)
        cell.imshow(picture, cmap="gray" if picture.ndim == 2 else None)
        top = row.argmax()
        caption = f"true: {shortened(class_names[label])}\npredicted: {shortened(class_names[top])} {row[top]:.0%}"
        cell.set_title(caption, fontsize=8)
    figure.suptitle(f"Worst mistakes: {len(images)} of the {wrong} wrong among {total}")
    return figure
