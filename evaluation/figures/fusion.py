"""Figures of a fusion: weights and importance of modalities, areas of their subsets, and latent shift."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from medzoo.evaluation.figures.style import COLOURS, new_figure, picture_of, shortened

__all__ = ["importance_figure", "shift_figure", "subsets_figure", "weights_figure"]


def weights_figure(weights: np.ndarray, present: np.ndarray, score: np.ndarray, modalities: Sequence[str]) -> Figure:
    """The weight of every modality for every patient, patients in order of their score.

    Args:
        weights: (N, M).
        present: (N, M) bool; absent modalities stay white.
        score: (N,), such as the probability of the last class.
        modalities: M names.

    Returns:
        The figure.
    """
    order = np.argsort(score, kind="stable")
    figure, axes = new_figure(9.2, 1.4 + 0.42 * len(modalities), 2, 1, sharex=True, height_ratios=(1, 2.4))
    axes[0].plot(np.arange(len(order)) + 0.5, score[order], color=COLOURS[0])
    axes[0].set(ylabel="score", ylim=(0, 1))
    shown = np.ma.masked_array(weights[order].T, ~present[order].T)
    grid = axes[1].pcolormesh(shown, cmap="viridis", vmin=0)
    axes[1].set_yticks(np.arange(len(modalities)) + 0.5, modalities)
    axes[1].invert_yaxis()
    axes[1].set_xlabel("patients, in order of their score (white: modality absent)")
    figure.colorbar(grid, ax=axes[1], label="weight")
    return figure


def importance_figure(rows: Sequence[Mapping[str, Any]], measures: Mapping[str, str]) -> Figure:
    """A panel for each measure of the importance of modalities.

    Args:
        rows: One for each modality, with `modality` and the measures.
        measures: Keys of the rows, by title.

    Returns:
        The figure.
    """
    known = {title: key for title, key in measures.items() if any(row.get(key) not in (None, "") for row in rows)}
    figure, axes = new_figure(1.4 + 2.5 * len(known), 0.9 + 0.36 * len(rows), 1, len(known), squeeze=False, sharey=True)
    places = np.arange(len(rows))[::-1]
    for panel, (title, key) in zip(axes[0], known.items(), strict=True):
        panel.barh(places, [float(row[key]) for row in rows], color=COLOURS[0], height=0.6)
        panel.axvline(0, color="0.4", linewidth=0.8)
        panel.set_title(title, fontsize=9)
        panel.grid(axis="x", color="0.9")
        panel.set_axisbelow(True)
    axes[0, 0].set_yticks(places, [row["modality"] for row in rows])
    return figure


def subsets_figure(rows: Sequence[Mapping[str, Any]], modalities: Sequence[str], whole: float) -> Figure:
    """Areas under the ROC curve when the network is shown only some modalities, the best first.

    Args:
        rows: With `modalities`, a collection of names, `auc`, `auc_low` and `auc_high`.
        modalities: M names.
        whole: The area with all modalities.

    Returns:
        The figure.
    """
    rows = sorted(rows, key=lambda row: -row["auc"])
    places = np.arange(len(rows))
    figure, axes = new_figure(2 + 0.26 * len(rows), 4.6, 2, 1, sharex=True, height_ratios=(2.2, 0.32 * len(modalities)))
    area = np.array([row["auc"] for row in rows])
    ends = np.abs(np.array([[row["auc_low"], row["auc_high"]] for row in rows]).T - area)
    axes[0].axhline(whole, color="0.6", linewidth=1, linestyle="--", label="all modalities")
    axes[0].errorbar(places, area, yerr=ends, fmt="o", markersize=4, color=COLOURS[0], capsize=2, linewidth=1)
    axes[0].set(ylabel="AUC (95% interval)")
    axes[0].grid(axis="y", color="0.9")
    axes[0].legend(loc="lower left", fontsize=8)
    for line, name in enumerate(modalities):
        used = np.array([name in row["modalities"] for row in rows])
        axes[1].plot(places, np.full(len(rows), line), "o", color="0.88", markersize=6)
        axes[1].plot(places[used], np.full(used.sum(), line), "o", color="black", markersize=6)
    axes[1].set_yticks(np.arange(len(modalities)), modalities)
    axes[1].set(xticks=[], ylim=(len(modalities) - 0.5, -0.5), xlabel="modalities that the network is shown")
    axes[1].tick_params(length=0)
    for side in ("bottom", "left"):
        axes[1].spines[side].set_visible(False)
    return figure


def shift_figure(
    images: Mapping[str, Sequence[np.ndarray]],
    rows: Mapping[str, tuple[Sequence[str], np.ndarray]],
    scores: tuple[float, float],
    shares: Mapping[str, float],
) -> Figure:
    """One patient as decoded, and as decoded where the score is lower.

    Args:
        images: By modality the decoded volume (C, *spatial), the same at the lower score, and the map (C, *spatial).
        rows: By modality the names of columns and the change of each, in standard deviations.
        scores: The patient's own and the lowest.
        shares: Of the modalities in the walk.

    Returns:
        The figure.
    """
    lines = len(images) + len(rows)
    figure = new_figure(8.4, 2.3 * lines + 1.0)[0]
    figure.clear()
    parts = figure.subfigures(lines + 1, 1, squeeze=False, height_ratios=[1] * lines + [0.6])[:, 0]
    for part, (name, (own, lower, change)) in zip(parts, images.items(), strict=False):
        _draw_images(part, name, own, lower, change)
    for part, (name, (columns, change)) in zip(parts[len(images) :], rows.items(), strict=False):
        _draw_row(part.subplots(), name, columns, change)
    bars = parts[-1].subplots()
    bars.barh(range(len(shares)), list(shares.values()), color=COLOURS[0])
    bars.set_yticks(range(len(shares)), list(shares))
    bars.invert_yaxis()
    bars.set(xlabel="share of the modality in the shift", xlim=(0, 1))
    figure.suptitle(f"Latent shift: what changes as the score falls from {scores[0]:.2f} to {scores[1]:.2f}")
    return figure


def _draw_images(part: SubFigure, name: str, own: np.ndarray, lower: np.ndarray, change: np.ndarray) -> None:
    axes = part.subplots(1, 3)
    plane = int(change.sum((0, 2, 3)).argmax())
    shown = np.stack([picture_of(image[:1], plane) for image in (own, lower)])
    for panel, image, title in zip(axes, (shown[0], shown[1]), ("as decoded", "at the lower score"), strict=False):
        panel.imshow(image, cmap="gray")
        panel.set_title(f"{name}: {title}", fontsize=9)
    tint = axes[2].imshow(change[:, plane].max(0), cmap="magma")
    axes[2].set_title("largest change", fontsize=9)
    part.colorbar(tint, ax=axes[2], shrink=0.8)
    for panel in axes:
        panel.set_axis_off()


def _draw_row(axes: Axes, name: str, columns: Sequence[str], change: np.ndarray, most: int = 8) -> None:
    chosen = np.argsort(-np.abs(change))[:most][::-1]
    axes.barh(range(len(chosen)), change[chosen], color=[COLOURS[1 if change[k] > 0 else 0] for k in chosen])
    axes.set_yticks(range(len(chosen)), [shortened(columns[k], 24) for k in chosen], fontsize=8)
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_xlabel(f"{name}: change of the decoded value [sd]", fontsize=9)
