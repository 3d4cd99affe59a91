"""Scores of ensemble forecasts: accuracy, sharpness and calibration of sampled follow-up volumes.

A forecast is (B, N): N samples for each of B patients, with optional weights (B, N) of any sum, as they arise where the
samples are drawn in strata (p / n1 for each of n1 samples with expansion, (1 - p) / n0 for each of n0 without).
Definitions follow Gneiting & Raftery 2007 (CRPS), Czado et al. 2009 (randomised PIT) and Székely & Rizzo 2013 (energy
distance). Expansion is by 6 mL or 33%, the default of `evaluation.measures.expansion.ExpansionRule`.
"""

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import kstest

from medzoo.evaluation.measures.expansion import ExpansionRule
from medzoo.evaluation.scores.classification import auc, bootstrap_auc
from medzoo.evaluation.scores.diagnostic import calibration_line
from medzoo.evaluation.scores.intervals import percentile_interval

__all__ = [
    "bootstrap_interval",
    "coverage",
    "crps",
    "energy_distance",
    "expansion_score",
    "forecast_metrics",
    "pit",
    "prediction_interval",
    "weighted_mean",
    "weighted_quantile",
]


def crps(samples: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Continuous ranked probability score: the integral of (F(x) - [x >= truth])^2 with F the weighted ECDF.

    Args:
        samples: (B, N) in any unit, here mL.
        truth: (B,) in the same unit.
        weights: (B, N), equal by default.

    Returns:
        (B,) scores in that unit, 0 at best; |sample - truth| for N = 1. The ECDF is taken as the forecast itself, so a
        small N costs about 1 / N of a good forecast's score, as it costs users of the samples.
    """
    samples, weights = _checked(samples, weights)
    order = np.argsort(samples, axis=1)
    ordered = np.take_along_axis(samples, order, axis=1)
    below = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)[:, :-1]
    half_spread = (below * (1 - below) * np.diff(ordered, axis=1)).sum(1)  # half the mean |x - x'| of two samples
    return (weights * np.abs(samples - np.asarray(truth)[:, None])).sum(1) - half_spread


def pit(samples: np.ndarray, truth: np.ndarray, seed: int = 0, weights: np.ndarray | None = None) -> np.ndarray:
    """Randomised probability integral transform: the place of the truth among the samples, uniform if calibrated.

    With equal weights this is (rank + u) / (N + 1), exactly uniform if truth and samples are exchangeable; with others
    N becomes the effective number of samples 1 / sum(w^2). Truths tied with samples get a random place among them.

    Args:
        samples: (B, N).
        truth: (B,).
        seed: Seed of the uniform u.
        weights: (B, N), equal by default.

    Returns:
        (B,) values in [0, 1].
    """
    samples, weights = _checked(samples, weights)
    truth = np.asarray(truth)[:, None]
    size = 1 / (weights**2).sum(1)
    below, tied = (weights * (samples < truth)).sum(1), (weights * (samples == truth)).sum(1)
    uniform = np.random.default_rng(seed).uniform(size=len(samples))
    return (size * below + uniform * (1 + size * tied)) / (size + 1)


def weighted_mean(samples: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(B,) means of weighted samples (B, N)."""
    samples, weights = _checked(samples, weights)
    return (weights * samples).sum(1)


def weighted_quantile(samples: np.ndarray, level: float, weights: np.ndarray | None = None) -> np.ndarray:
    """Quantile of each forecast, linear between samples whose levels are the means of their PIT.

    With equal weights the k-th of N samples has the level k / (N + 1) (NumPy's `weibull`), so that an interval of a
    calibrated ensemble has its nominal coverage for any N. NumPy's default makes small ensembles look overconfident.

    Args:
        samples: (B, N).
        level: In [0, 1]; below the first and above the last sample's level that sample is returned.
        weights: (B, N), equal by default.

    Returns:
        (B,) quantiles.
    """
    samples, weights = _checked(samples, weights)
    quantiles = []
    for values, weight in zip(samples, weights, strict=True):
        order = np.argsort(values)[weight[np.argsort(values)] > 0]
        size = 1 / (weight**2).sum()
        middle = np.cumsum(weight[order]) - weight[order] / 2
        quantiles.append(np.interp(level, (size * middle + 0.5) / (size + 1), values[order]))
    return np.array(quantiles)


def prediction_interval(
    samples: np.ndarray, level: float, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Central prediction interval of each forecast.

    Args:
        samples: (B, N).
        level: Nominal coverage, e.g. 0.9.
        weights: (B, N), equal by default.

    Returns:
        Lower and upper bounds, (B,) each.
    """
    tail = (1 - level) / 2
    return weighted_quantile(samples, tail, weights), weighted_quantile(samples, 1 - tail, weights)


def coverage(samples: np.ndarray, truth: np.ndarray, level: float, weights: np.ndarray | None = None) -> float:
    """Share of truths (B,) inside their central prediction interval of samples (B, N); `level` if calibrated."""
    low, high = prediction_interval(samples, level, weights)
    return float(np.mean((low <= truth) & (truth <= high)))


def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Distance of two samples: sqrt(2 E|x - y| - E|x - x'| - E|y - y'|).

    Args:
        a: (N,) or (N, D) points.
        b: (M,) or (M, D) points.

    Returns:
        The distance in the unit of the points' square root, 0 for equal samples; in one dimension
        `scipy.stats.energy_distance`.
    """
    a, b = (np.asarray(x, dtype=float).reshape(len(x), -1) for x in (a, b))
    return float(np.sqrt(max(2 * cdist(a, b).mean() - cdist(a, a).mean() - cdist(b, b).mean(), 0.0)))


def expansion_score(samples: np.ndarray, baseline_ml: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Forecast probability of expansion (B,): the weighted share of samples (B, N) that meet the criterion."""
    samples, weights = _checked(samples, weights)
    return (weights * ExpansionRule()(np.asarray(baseline_ml)[:, None], samples)).sum(1)


def bootstrap_interval(
    values: np.ndarray, seed: int = 0, *, level: float = 0.95, resamples: int = 1000
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of per-patient scores (B,), patients drawn with replacement."""
    values = np.asarray(values, dtype=float)
    draws = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    return percentile_interval(values[draws].mean(1), level)


def forecast_metrics(
    samples: np.ndarray,
    truth: np.ndarray,
    baseline_ml: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    score: np.ndarray | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """All numbers of one set of forecasts.

    Args:
        samples: (B, N) forecast follow-up volumes in mL.
        truth: (B,) real follow-up volumes in mL.
        baseline_ml: (B,) baseline volumes in mL.
        weights: (B, N), equal by default.
        score: (B,) score of expansion; by default the share of samples that meet the criterion.
        resamples: Bootstrap draws behind the intervals.
        seed: Seed of the draws and of the PIT.

    Returns:
        `crps` with 95% bounds `crps_low` and `crps_high`, `volume_mae_ml` of the median forecast (the best point
        forecast for absolute error), `volume_bias_ml` of the mean forecast (forecast - truth), `coverage_50`,
        `coverage_90`, `pit_deviation` (Kolmogorov-Smirnov distance of the PIT from uniform), `expansion_auc` with
        `expansion_auc_low` and `expansion_auc_high`, NaN where no patient or every patient expanded, and
        `expansion_brier` and `expansion_slope` of the share of samples, NaN where another `score` is given.
    """
    truth = np.asarray(truth, dtype=float)
    scores = crps(samples, truth, weights)
    low, high = bootstrap_interval(scores, seed, resamples=resamples)
    expanded = ExpansionRule()(baseline_ml, truth).astype(int)
    line = {"brier": float("nan"), "calibration_slope": float("nan")}
    if score is None:
        score = expansion_score(samples, baseline_ml, weights)
        half = 0.5 / np.shape(samples)[1]  # what N samples say of a share is uncertain by so much
        line = calibration_line(expanded, np.clip(score, half, 1 - half))
    mixed = 0 < expanded.sum() < len(expanded)
    areas = percentile_interval(bootstrap_auc(expanded, score, resamples=resamples, seed=seed)) if mixed else None
    return {
        "crps": float(scores.mean()),
        "crps_low": low,
        "crps_high": high,
        "volume_mae_ml": float(np.abs(weighted_quantile(samples, 0.5, weights) - truth).mean()),
        "volume_bias_ml": float((weighted_mean(samples, weights) - truth).mean()),
        "coverage_50": coverage(samples, truth, 0.5, weights),
        "coverage_90": coverage(samples, truth, 0.9, weights),
        "pit_deviation": float(kstest(pit(samples, truth, seed, weights), "uniform").statistic),
        "expansion_auc": float(auc(expanded, score)[0]),
        "expansion_auc_low": areas[0] if areas else float("nan"),
        "expansion_auc_high": areas[1] if areas else float("nan"),
        "expansion_brier": line["brier"],
        "expansion_slope": line["calibration_slope"],
    }


def _checked(samples: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Samples (B, N), and weights (B, N) that sum to 1 for each patient."""
    samples = np.asarray(samples, dtype=float)
    if samples.ndim != 2 or not samples.shape[1]:
        raise ValueError(f"samples must be (patients, samples) with one sample or more, got the shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise ValueError(f"samples of patient {np.argmin(np.isfinite(samples).all(1))} hold NaN or infinity")
    weights = np.ones_like(samples) if weights is None else np.asarray(weights, dtype=float)
    if weights.shape != samples.shape or (weights < 0).any() or not (weights.sum(1) > 0).all():
        raise ValueError(f"weights must be {samples.shape}, not negative, with a positive sum for each patient")
    return samples, weights / weights.sum(1, keepdims=True)
