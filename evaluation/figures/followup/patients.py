"""Figures of sampled follow-ups: one patient, one patient under other clinical values, the autoencoder.

No identifier is drawn, because figures may leave the machine with the dashboard.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medzoo.evaluation.figures.followup.head import (
    BASELINE,
    IPH,
    IVH,
    Panel,
    brain_box,
    draw_panel,
    image_axes,
    lesion_slices,
    outline_legend,
    probability_bar,
)
from medzoo.evaluation.figures.style import COLOURS, new_figure
from medzoo.evaluation.measures.expansion import ExpansionRule
from medzoo.evaluation.scores.forecasts import expansion_score, weighted_mean

__all__ = ["counterfactual_figure", "patient_figure", "reconstruction_figure"]

COLUMN = 2.4  # inches of one column of slices


def patient_figure(
    baseline_ct: np.ndarray,
    baseline_iph: np.ndarray,
    mean_followup_ct: np.ndarray,
    probability: np.ndarray,
    volumes_ml: np.ndarray,
    baseline_ml: float,
    spacing_mm: Sequence[float],
    *,
    weights: np.ndarray | None = None,
    baseline_ivh: np.ndarray | None = None,
    followup_ct: np.ndarray | None = None,
    followup_iph: np.ndarray | None = None,
    followup_ivh: np.ndarray | None = None,
    followup_ml: float | None = None,
) -> Figure:
    """Slices through the bleed at baseline, at follow-up where known, and as forecast; the volumes below.

    Args:
        baseline_ct: (Z, H, W) HU in [0, 100], RAS+ order (row 0 posterior, column 0 left, slice 0 lowest).
        baseline_iph: (Z, H, W) zeros and ones.
        mean_followup_ct: (Z, H, W) HU, mean of the sampled follow-ups.
        probability: (Z, H, W) probability of IPH at follow-up.
        volumes_ml: (N,) IPH volumes of the sampled follow-ups in mL.
        baseline_ml: IPH volume at baseline in mL.
        spacing_mm: Spacing along (Z, H, W) in mm.
        weights: (N,) weights of the samples, equal by default.
        baseline_ivh: (Z, H, W) zeros and ones.
        followup_ct: (Z, H, W) HU of the follow-up that was seen.
        followup_iph: (Z, H, W) its IPH.
        followup_ivh: (Z, H, W) its IVH.
        followup_ml: Its IPH volume in mL.

    Returns:
        The figure.
    """
    before = (baseline_iph, BASELINE)
    panels = [Panel("Baseline", baseline_ct, [(baseline_iph, IPH), (baseline_ivh, IVH)])]
    if followup_ct is not None:
        panels.append(Panel("Follow-up", followup_ct, [(followup_iph, IPH), (followup_ivh, IVH)]))
    panels.append(Panel("Mean forecast", mean_followup_ct, [(probability, IPH), before]))
    panels.append(Panel("Probability of IPH", baseline_ct, [before], probability))
    slices, box = lesion_slices(baseline_iph), brain_box(baseline_ct)
    heights = [_row_height(baseline_ct, box, spacing_mm)] * len(slices) + [2.2]
    options = {"squeeze": False, "height_ratios": heights}
    figure, grid = new_figure(COLUMN * len(panels) + 1.6, sum(heights) + 1, len(heights), len(panels), **options)
    for column, panel in zip(grid[:-1].T, panels, strict=True):
        draw_panel(column, panel, slices, box, spacing_mm)
    probability_bar(figure, grid[:-1], "probability of IPH at follow-up")
    below = _merged(figure, grid[-1, :-1])
    _volume_panel(below, volumes_ml, weights, baseline_ml, _bins(volumes_ml, baseline_ml, followup_ml))
    if followup_ml is not None:
        below.axvline(followup_ml, color=COLOURS[3], linewidth=2, label=f"follow-up, {followup_ml:.1f} mL")
    below.set_ylabel("share of samples")
    grid[-1, -1].axis("off")
    grid[-1, -1].legend(*below.get_legend_handles_labels(), loc="center left", fontsize=8, frameon=False)
    ivh = {} if baseline_ivh is None and followup_ivh is None else {"IVH": IVH}
    outline_legend(figure, {"IPH (forecast: probability above 0.5)": IPH, **ivh, "IPH at baseline": BASELINE})
    return figure


def counterfactual_figure(
    name: str,
    values: Sequence[float],
    baseline_ct: np.ndarray,
    baseline_iph: np.ndarray,
    probability: np.ndarray,
    volumes_ml: np.ndarray,
    baseline_ml: float,
    spacing_mm: Sequence[float],
    *,
    weights: np.ndarray | None = None,
    true_means_ml: Sequence[float] | None = None,
) -> Figure:
    """The forecast of one patient for several values of one clinical variable, all else and the noise equal.

    Args:
        name: Name of the variable, with its unit.
        values: V values, one column each.
        baseline_ct: (Z, H, W) HU in [0, 100], RAS+ order.
        baseline_iph: (Z, H, W) zeros and ones.
        probability: (V, Z, H, W) probability of IPH at follow-up.
        volumes_ml: (V, N) IPH volumes of the samples in mL.
        baseline_ml: IPH volume at baseline in mL.
        spacing_mm: Spacing along (Z, H, W) in mm.
        weights: (V, N) weights of the samples, equal by default.
        true_means_ml: V true mean volumes, known for phantoms only.

    Returns:
        The figure.
    """
    slices, box = lesion_slices(baseline_iph, 1), brain_box(baseline_ct)
    heights = [_row_height(baseline_ct, box, spacing_mm), 2.0]
    options = {"squeeze": False, "height_ratios": heights}
    figure, grid = new_figure(COLUMN * len(values) + 0.8, sum(heights) + 1.4, 2, len(values), **options)
    bins = _bins(volumes_ml, baseline_ml, *(true_means_ml or ()))
    for k, (axes, below) in enumerate(grid.T):
        panel = Panel(f"{values[k]:g}", baseline_ct, [(baseline_iph, BASELINE)], probability[k])
        draw_panel([axes], panel, slices, box, spacing_mm)
        _volume_panel(below, volumes_ml[k], None if weights is None else weights[k], baseline_ml, bins)
        if true_means_ml is not None:
            below.axvline(
                true_means_ml[k], color=COLOURS[3], linewidth=2, label=f"true mean, {true_means_ml[k]:.1f} mL"
            )
        below.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), fontsize=8, frameon=False)
    highest = max(below.get_ylim()[1] for below in grid[1])
    for below in grid[1]:
        below.set_ylim(0, highest)
    probability_bar(figure, grid[0], "probability of IPH")
    grid[1, 0].set_ylabel("share of samples")
    figure.suptitle(name)
    outline_legend(figure, {"IPH at baseline": BASELINE})
    return figure


def reconstruction_figure(original: np.ndarray, reconstruction: np.ndarray) -> Figure:
    """Slices before and after the autoencoder, and their difference.

    Args:
        original: (K, 3, H, W) CT in [0, 1] for 0 to 100 HU, IPH and IVH zeros and ones; RAS+ order.
        reconstruction: (K, 3, H, W) the same, with probabilities for masks.

    Returns:
        The figure.
    """
    box = brain_box(original[:, 0])
    height = _row_height(original[:, 0], box, (1, 1, 1))
    figure, grid = new_figure(3 * COLUMN + 0.8, height * len(original) + 0.9, len(original), 3, squeeze=False)
    panels = [
        Panel(title, 100 * images[:, 0], [(images[:, 1], IPH), (images[:, 2], IVH)])
        for title, images in (("Original", original), ("Reconstruction", reconstruction))
    ]
    for column, panel in zip(grid.T, panels, strict=False):
        draw_panel(column, panel, range(len(original)), box, None)
    for k, row in enumerate(grid):
        difference = 100 * (reconstruction[k, 0] - original[k, 0])
        drawn = image_axes(row[2], difference[box], cmap="PuOr_r", vmin=-20, vmax=20)
        brain = original[k, 0] > 0
        error = np.abs(difference[brain]).mean() if brain.any() else 0.0
        row[2].text(0.03, 0.97, f"mean {error:.1f} HU", fontsize=7, va="top", transform=row[2].transAxes)
    grid[0, 2].set_title("Difference", fontsize=10)
    figure.colorbar(drawn, ax=grid[:, 2], label="reconstruction - original [HU]", extend="both", fraction=0.05)
    outline_legend(figure, {"IPH": IPH, "IVH": IVH})
    return figure


def _row_height(ct: np.ndarray, box: tuple[slice, slice], spacing_mm: Sequence[float]) -> float:
    """Inches that a row of slices needs at the width of a column."""
    height, width = ct[0][box].shape
    return COLUMN * height * spacing_mm[1] / (width * spacing_mm[2])


def _merged(figure: Figure, row: Sequence[Any]) -> Axes:
    """One axes in place of a row of them."""
    place = row[0].get_subplotspec()
    spans = row[0].get_gridspec()[place.rowspan.start, place.colspan.start : place.colspan.start + len(row)]
    for axes in row:
        axes.remove()
    merged = figure.add_subplot(spans)
    merged.spines[["top", "right"]].set_visible(False)
    return merged


def _bins(volumes_ml: np.ndarray, *others: float | None) -> np.ndarray:
    """Edges that hold all samples (..., N) and the other volumes, the more the more samples there are."""
    known = np.concatenate([np.ravel(volumes_ml), [value for value in others if value is not None]])
    pad = max(0.08 * np.ptp(known), 1.0)
    count = int(np.clip(np.shape(volumes_ml)[-1] // 2 + 4, 8, 30))
    return np.linspace(max(0.0, known.min() - pad), known.max() + pad, count)


def _volume_panel(
    axes: Axes, volumes_ml: np.ndarray, weights: np.ndarray | None, baseline_ml: float, bins: np.ndarray
) -> None:
    """Histogram of sampled volumes (N,) with the baseline, the mean and the region that counts as expansion."""
    volumes = np.asarray(volumes_ml, dtype=float)[None]
    weights = np.ones_like(volumes) if weights is None else np.asarray(weights, dtype=float)[None]
    mean = weighted_mean(volumes, weights)[0]
    share = expansion_score(volumes, np.array([baseline_ml]), weights)[0]
    threshold = float(ExpansionRule().threshold(baseline_ml))
    axes.hist(volumes[0], bins=[*bins], weights=weights[0] / weights.sum(), color="0.7", edgecolor="white")
    axes.axvspan(threshold, max(bins[-1], threshold), color=COLOURS[1], alpha=0.12, linewidth=0, zorder=0)
    axes.axvline(threshold, color=COLOURS[1], linewidth=1, label=f"expansion from {threshold:.1f} mL")
    axes.axvline(baseline_ml, color="black", linewidth=1.5, linestyle="dashed", label=f"baseline, {baseline_ml:.1f} mL")
    axes.axvline(mean, color=COLOURS[0], linewidth=2, label=f"forecast mean, {mean:.1f} mL")
    axes.set(xlim=bins[[0, -1]], xlabel="IPH volume [mL]")
    axes.set_title(f"P(expansion) = {share:.2f}", fontsize=10)
