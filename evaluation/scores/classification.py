"""Numbers of a classifier with their uncertainty: one row for each class."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medzoo.evaluation.scores.diagnostic import rates
from medzoo.evaluation.scores.intervals import percentile_interval

__all__ = ["auc", "bootstrap_auc", "class_table", "one_vs_rest"]


def one_vs_rest(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """(N, K) zeros and ones from class indices (N,); labels (N, K) are returned unchanged."""
    return labels.astype(int) if labels.ndim == 2 else np.eye(num_classes, dtype=int)[labels.astype(int)]


def auc(positive: np.ndarray, score: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Area under the ROC curve as the probability that a positive scores above a negative, ties counting half.

    Args:
        positive: (N,) zeros and ones.
        score: (N,) scores.
        weight: (R, N) case weights for R computations at once, all ones (R = 1) by default.

    Returns:
        (R,) areas, NaN where the weights leave no positive or no negative.
    """
    weight = np.ones((1, len(score))) if weight is None else np.asarray(weight, dtype=float)
    levels, level = np.unique(score, return_inverse=True)
    totals = np.zeros((2, len(weight), len(levels)))  # weight of negatives and positives at each distinct score
    order = np.argsort(level, kind="stable")
    starts = np.searchsorted(level[order], np.arange(len(levels)))
    for value in (0, 1):
        chosen = (weight * (np.asarray(positive) == value))[:, order]
        totals[value] = np.add.reduceat(chosen, starts, axis=1)
    below = np.cumsum(totals[0], axis=1) - totals[0] / 2
    pairs = totals[0].sum(1) * totals[1].sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, (totals[1] * below).sum(1) / pairs, np.nan)


def bootstrap_auc(positive: np.ndarray, score: np.ndarray, *, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Areas under the ROC curve of cases drawn with replacement.

    Args:
        positive: (N,) zeros and ones.
        score: (N,) scores.
        resamples: Number of draws.
        seed: Seed of the draws; the same seed draws the same cases for any scores, so that differences between
            two scores are paired.

    Returns:
        (resamples,) areas, NaN where a draw held one class only.
    """
    rng = np.random.default_rng(seed)
    count = len(score)
    chunk = max(1, 20_000_000 // max(count, 1))  # keeps the weights below 160 MB
    areas = []
    for start in range(0, resamples, chunk):
        draws = rng.multinomial(count, np.full(count, 1 / count), size=min(chunk, resamples - start))
        areas.append(auc(positive, score, draws))
    return np.concatenate(areas)


def class_table(
    labels: np.ndarray, prob: np.ndarray, class_names: Sequence[str], *, resamples: int = 1000, seed: int = 0
) -> list[dict[str, Any]]:
    """One row for each class, and a last row `mean` with the macro AUC.

    Args:
        labels: (N,) class indices or (N, K) zeros and ones.
        prob: (N, K) probabilities.
        class_names: K names.
        resamples: Bootstrap draws behind each interval.
        seed: Seed of the draws, shared by all classes.

    Returns:
        Rows with `class`, `n` (cases), one-versus-rest `auc` with 95% bounds `auc_low` and `auc_high`, and
        `sensitivity`, `specificity`, `ppv`, `npv` of the predicted class (argmax; for several labels, above 0.5).
    """
    truth = one_vs_rest(labels, len(class_names))
    called = prob > 0.5 if labels.ndim == 2 else one_vs_rest(prob.argmax(1), len(class_names)) == 1
    samples = [bootstrap_auc(truth[:, k], prob[:, k], resamples=resamples, seed=seed) for k in range(prob.shape[1])]
    rows = []
    for k, name in enumerate(class_names):
        area = float(auc(truth[:, k], prob[:, k])[0])
        rows.append({"class": name, **_row(area, samples[k]), **_rates(truth[:, k] == 1, called[:, k])})
    mean = float(np.mean([row["auc"] for row in rows]))
    rows.append({"class": "mean", **_row(mean, np.mean(samples, axis=0)), "n": len(prob)})
    return rows


def _row(area: float, samples: np.ndarray) -> dict[str, Any]:
    low, high = percentile_interval(samples)
    return {"n": 0, "auc": area, "auc_low": low, "auc_high": high}


def _rates(truth: np.ndarray, called: np.ndarray) -> dict[str, Any]:
    found = rates(truth, called)
    return {"n": int(truth.sum()), **{name: found[name] for name in ("sensitivity", "specificity", "ppv", "npv")}}
