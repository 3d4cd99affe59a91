"""Figures of a representation: projections of the classes, traversals of latents, correlations, and areas."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from medzoo.evaluation.figures.style import COLOURS, new_figure

__all__ = ["areas_figure", "correlation_figure", "pairs_figure", "projection_figure", "traversal_figure"]


def projection_figure(sets: Mapping[str, np.ndarray], label: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Each set of features on its first two principal components, and on its linear discriminants.

    With two classes there is one discriminant, drawn as a histogram. Each image is drawn by discriminants that were
    fitted to the other folds of the same images.

    Args:
        sets: (N, F) features by name.
        label: (N,) class indices.
        class_names: K names.

    Returns:
        The figure.
    """
    figure, grid = new_figure(3.6 * len(sets), 6.4, 2, len(sets), squeeze=False)
    for column, (name, features) in zip(grid.T, sets.items(), strict=True):
        components = PCA(min(2, *features.shape)).fit(features)
        share = [f"PC {k + 1} ({part:.0%})" for k, part in enumerate(components.explained_variance_ratio_)]
        _scatter(column[0], components.transform(features), label, class_names, share)
        column[0].set_title(name)
        _discriminants(column[1], features, label, class_names)
    grid[0, 0].legend(fontsize=8, markerscale=2)
    return figure


def traversal_figure(images: np.ndarray, steps: Sequence[float], names: Sequence[str], title: str) -> Figure:
    """One reconstruction while one feature changes and the others stay.

    Args:
        images: (R, S, C, *spatial), a row for each feature, a column for each step.
        steps: S values, in standard deviations.
        names: R features.
        title: Of the figure.

    Returns:
        The figure.
    """
    figure, grid = new_figure(1.0 * len(steps) + 1.6, 1.05 * len(names) + 0.7, len(names), len(steps), squeeze=False)
    limits = float(images.min()), float(images.max())
    for row, images_of, name in zip(grid, images, names, strict=True):
        for axes, image in zip(row, images_of, strict=True):
            _image(axes, image, limits)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for axes, step in zip(grid[0], steps, strict=True):
        axes.set_title(f"{step:+g} sd", fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def pairs_figure(rows: Mapping[str, Sequence[np.ndarray]], titles: Sequence[str] = ()) -> Figure:
    """Images in columns, their versions in rows; all on one grey scale.

    Args:
        rows: N images (C, *spatial) by name; volumes show their middle plane.
        titles: Of each column.

    Returns:
        The figure.
    """
    count = len(next(iter(rows.values())))
    figure, grid = new_figure(1.0 * count + 1.2, 1.05 * len(rows) + 0.3, len(rows), count, squeeze=False)
    limits = min(np.min(each) for each in rows.values()), max(np.max(each) for each in rows.values())
    for row, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(row, images, strict=True):
            _image(axes, image, limits)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for axes, title in zip(grid[0], titles, strict=False):
        axes.set_title(title, fontsize=6, va="bottom")
    return figure


def correlation_figure(first: np.ndarray, second: np.ndarray, names: Sequence[str], labels: tuple[str, str]) -> Figure:
    """Correlation of every feature of the first set with every one of the second.

    Args:
        first: (N, F).
        second: (N, D).
        names: Of the F features.
        labels: Of both sets.

    Returns:
        The figure.
    """
    scaled = [(part - part.mean(0)) / np.maximum(part.std(0), 1e-12) for part in (first, second)]
    table = scaled[0].T @ scaled[1] / len(first)
    figure, axes = new_figure(max(4.5, 0.16 * table.shape[1] + 3), max(3, 0.16 * table.shape[0] + 1))
    drawn = axes.imshow(table, cmap="PuOr_r", vmin=-1, vmax=1, aspect="auto")
    axes.set_yticks(range(len(names)), names, fontsize=6)
    axes.set(xlabel=f"{labels[1]} feature", title=f"{labels[0]} and {labels[1]}: mean |r| {np.abs(table).mean():.2f}")
    figure.colorbar(drawn, ax=axes, label="correlation")
    return figure


def areas_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """AUC of several predictions with their intervals, one under the other.

    Args:
        rows: With `name`, `auc`, `auc_low` and `auc_high`.

    Returns:
        The figure.
    """
    figure, axes = new_figure(6.0, 0.9 + 0.36 * len(rows))
    for place, row in enumerate(rows):
        axes.plot([row["auc_low"], row["auc_high"]], [place, place], color=COLOURS[0], linewidth=2)
        axes.plot(row["auc"], place, "o", color=COLOURS[0])
        axes.annotate(
            f"{row['auc']:.3f}", (row["auc"], place), (0, 5), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.set(xlabel="test AUC (95% CI)", ylim=(len(rows) - 0.4, -0.7))
    axes.grid(axis="x", color="0.9")
    return figure


def _scatter(
    axes: Axes, points: np.ndarray, label: np.ndarray, class_names: Sequence[str], names: Sequence[str]
) -> None:
    points = np.pad(points, ((0, 0), (0, max(0, 2 - points.shape[1]))))
    for k, name in enumerate(class_names):
        axes.plot(
            *points[label == k][:, :2].T, ".", color=COLOURS[k % len(COLOURS)], markersize=3, alpha=0.6, label=name
        )
    axes.set(xlabel=names[0], ylabel=names[1] if len(names) > 1 else "")


def _discriminants(axes: Axes, features: np.ndarray, label: np.ndarray, class_names: Sequence[str]) -> None:
    """Scores of linear discriminants that were fitted to four of five folds, of the cases of the fifth."""
    _, counts = np.unique(label, return_counts=True)
    if len(counts) < 2 or counts.min() < 2 or features.std(0).max() == 0:
        axes.set_title("no discriminant", fontsize=8)
        return
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    folds = StratifiedKFold(min(5, int(counts.min())), shuffle=True, random_state=0)
    scores = cross_val_predict(model, features, label, cv=folds, method="decision_function")
    if scores.ndim > 1:
        points = PCA(2).fit_transform(scores)
        _scatter(axes, points, label, class_names, ["discriminant 1 (held out)", "2"])
        return
    bins = np.linspace(scores.min(), scores.max(), 30)
    for k in range(len(class_names)):
        axes.hist(scores[label == k], [*bins], color=COLOURS[k % len(COLOURS)], alpha=0.6, density=True)
    axes.set(xlabel="linear discriminant (held out)", ylabel="density")


def _image(axes: Axes, image: np.ndarray, limits: tuple[float, float]) -> None:
    scaled = np.clip((image - limits[0]) / max(limits[1] - limits[0], 1e-12), 0, 1)
    plane = scaled[:, scaled.shape[1] // 2] if scaled.ndim == 4 else scaled
    axes.imshow(plane[0] if len(plane) != 3 else np.moveaxis(plane, 0, -1), cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
