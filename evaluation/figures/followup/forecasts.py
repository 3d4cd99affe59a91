"""Figures of a cohort's forecasts: their calibration, their errors, and their scores beside those of baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binom

from medzoo.evaluation.figures.style import COLOURS, new_figure
from medzoo.evaluation.measures.expansion import ExpansionRule
from medzoo.evaluation.scores.forecasts import prediction_interval, weighted_quantile

__all__ = ["baseline_figure", "forecast_figure", "pit_figure"]


def pit_figure(values: np.ndarray) -> Figure:
    """Histogram of the PIT with the band that uniform values stay in.

    Args:
        values: (B,) in [0, 1], in bins of about ten patients, four to ten bins.

    Returns:
        The figure. A valley in the middle means overconfident forecasts, a hill underconfident ones, a slope a bias.
    """
    figure, axes = new_figure(5, 3.4)
    bins = int(np.clip(len(values) // 10, 4, 10))
    low, high = binom.interval(0.95, len(values), 1 / bins)
    axes.hist(values, bins=np.linspace(0, 1, bins + 1), color=COLOURS[5], edgecolor="white")
    axes.axhspan(low, high, color="0.3", alpha=0.15, label="95% band if uniform", linewidth=0)
    axes.axhline(len(values) / bins, color="black", linewidth=1, linestyle="dashed", label="expected")
    axes.set(xlabel="place of the real volume among the samples (PIT)", ylabel="patients", xlim=(0, 1))
    axes.set_title(f"Calibration of the volumes, n = {len(values)}")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def forecast_figure(
    samples: np.ndarray, truth: np.ndarray, baseline_ml: np.ndarray, weights: np.ndarray | None = None
) -> Figure:
    """Real volumes against forecast medians and intervals, one column for each patient, sorted by real volume.

    Args:
        samples: (B, N) forecast follow-up volumes in mL.
        truth: (B,) real follow-up volumes in mL.
        baseline_ml: (B,) baseline volumes in mL.
        weights: (B, N), equal by default.

    Returns:
        The figure.
    """
    truth, baseline_ml = np.asarray(truth, dtype=float), np.asarray(baseline_ml, dtype=float)
    place = np.argsort(np.argsort(truth, kind="stable"))
    figure, axes = new_figure(min(max(6.0, 2.5 + 0.14 * len(truth)), 16), 4)
    for level, width, colour in ((0.9, 1.2, "0.55"), (0.5, 3.5, "0.7")):
        axes.vlines(
            place,
            *prediction_interval(samples, level, weights),
            color=colour,
            linewidth=width,
            label=f"{level:.0%} interval",
        )
    axes.plot(
        place, weighted_quantile(samples, 0.5, weights), "_", color="black", markersize=6, label="forecast median"
    )
    axes.plot(place, baseline_ml, ".", color="0.3", markersize=3, label="baseline")
    expanded = ExpansionRule()(baseline_ml, truth)
    for chosen, marker, colour, name in (
        (~expanded, "o", COLOURS[0], "stable"),
        (expanded, "^", COLOURS[1], "expanded"),
    ):
        axes.plot(place[chosen], truth[chosen], marker, color=colour, markersize=4.5, label=f"real, {name}")
    axes.set(xlabel="patients, by follow-up volume", ylabel="IPH volume [mL]", xticks=[], ylim=(0, None))
    axes.set_xlim(-0.8, len(truth) - 0.2)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def baseline_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """CRPS of each forecast with its 95% interval, and its skill over the best baseline.

    Args:
        rows: From `comparison_table`.

    Returns:
        The figure.
    """
    figure, axes = new_figure(6.5, 1.3 + 0.45 * len(rows))
    place = np.arange(len(rows))[::-1]
    score = np.array([row["crps"] for row in rows])
    error = np.abs(np.array([[row["crps_low"], row["crps_high"]] for row in rows]).T - score)
    colours = ["0.7" if row["baseline"] else COLOURS[0] for row in rows]
    axes.barh(place, score, color=colours, height=0.6)
    axes.errorbar(score, place, xerr=error, fmt="none", ecolor="black", elinewidth=1, capsize=3)
    for y, row in zip(place, rows, strict=True):
        text = f"{row['crps']:.2f} mL" + (f", {row['skill']:+.0%}" if np.isfinite(row["skill"]) else "")
        axes.text(1.02, y, text, va="center", fontsize=9, transform=axes.get_yaxis_transform())
    axes.set_yticks(place, [row["name"] for row in rows])
    axes.set(xlabel="CRPS [mL], smaller is better; right: skill over the best baseline", xlim=(0, None))
    return figure
