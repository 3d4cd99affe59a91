"""Statistics of a diagnostic score: areas under ROC curves and their differences, rates at a threshold, usefulness.

Everywhere `positive` is (N,) bool, the truth, and `score` (N,), larger for positive cases.
"""

import numpy as np
from scipy import stats
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

__all__ = [
    "calibration_intervals",
    "calibration_line",
    "check_known",
    "decision_curve",
    "delong",
    "delong_test",
    "mcnemar",
    "net_benefit",
    "p_text",
    "rates",
    "youden_threshold",
]

Z = float(stats.norm.ppf(0.975))


def delong(positive: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """Area under the ROC curve with DeLong's 95% interval.

    DeLong et al. 1988 (doi:10.2307/2531595), by midranks (Sun and Xu 2014, doi:10.1109/LSP.2014.2337313). The interval
    is symmetric on the logit scale, so that it stays inside 0 and 1. An area of 0 or 1 has no such interval; it gets
    the exact one (Clopper and Pearson 1934) of a share of 0 or 1 among as many cases as the smaller class has.

    Returns:
        `auc`, `auc_low`, `auc_high`, `standard_error`.

    Raises:
        ValueError: If a class is missing.
    """
    areas, covariance = _areas(positive, np.asarray(score)[None])
    area, error = float(areas[0]), float(np.sqrt(covariance[0, 0]))
    if area in (0, 1):
        few = min(np.sum(positive), len(positive) - np.sum(positive))
        exact = stats.binomtest(int(area * few), int(few)).proportion_ci()
        return {"auc": area, "auc_low": float(exact.low), "auc_high": float(exact.high), "standard_error": error}
    if error == 0:
        return {"auc": area, "auc_low": area, "auc_high": area, "standard_error": error}
    half = Z * error / (area * (1 - area))
    low, high = expit(logit(area) + np.array([-half, half]))
    return {"auc": area, "auc_low": float(low), "auc_high": float(high), "standard_error": error}


def delong_test(positive: np.ndarray, score: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """DeLong's paired test of the areas of two scores of the same cases.

    Returns:
        `difference` (score - other) with its 95% interval `difference_low`, `difference_high`, `z` and two-sided `p`; a
        difference that cannot vary has p = 1 where it is 0.

    Raises:
        ValueError: If a class is missing.
    """
    areas, covariance = _areas(positive, np.stack([score, other]))
    difference = float(areas[0] - areas[1])
    error = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0)))
    z = difference / error if error > 0 else 0.0 if difference == 0 else np.inf * np.sign(difference)
    return {
        "difference": difference,
        "difference_low": difference - Z * error,
        "difference_high": difference + Z * error,
        "z": float(z),
        "p": float(2 * stats.norm.sf(abs(z))),
    }


def rates(positive: np.ndarray, called: np.ndarray) -> dict[str, float]:
    """Rates of calls (N,) bool, each with Wilson's 95% interval under `<name>_low` and `<name>_high`.

    F1 is a rising function of TP / (TP + FP + FN), so its interval is that of this share, mapped.

    Returns:
        `sensitivity`, `specificity`, `ppv`, `npv`, `accuracy`, `f1`, NaN where there is nothing to divide by;
        `balanced_accuracy`, and the counts `tp`, `fp`, `fn`, `tn`.
    """
    positive, called = np.asarray(positive, bool), np.asarray(called, bool)
    tp, fp = int((positive & called).sum()), int((~positive & called).sum())
    fn, tn = int((positive & ~called).sum()), int((~positive & ~called).sum())
    shares = {
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "ppv": (tp, tp + fp),
        "npv": (tn, tn + fn),
        "accuracy": (tp + tn, len(positive)),
        "f1": (tp, tp + fp + fn),
    }
    found: dict[str, float] = {}
    for name, (part, whole) in shares.items():
        values = [part / whole, *_wilson(part, whole)] if whole else [float("nan")] * 3
        values = [2 * value / (1 + value) for value in values] if name == "f1" else values
        found |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
    found["balanced_accuracy"] = (found["sensitivity"] + found["specificity"]) / 2
    return {**found, "tp": tp, "fp": fp, "fn": fn, "tn": tn}


def youden_threshold(positive: np.ndarray, score: np.ndarray) -> float:
    """The threshold (score >= threshold is positive) with the largest sensitivity + specificity."""
    positive, score = np.asarray(positive, bool), np.asarray(score, float)
    levels = np.unique(score)
    sensitivity = 1 - np.searchsorted(np.sort(score[positive]), levels) / positive.sum()
    false = 1 - np.searchsorted(np.sort(score[~positive]), levels) / (~positive).sum()
    return float(levels[int(np.argmax(sensitivity - false))])


def calibration_line(positive: np.ndarray, prob: np.ndarray) -> dict[str, float]:
    """Brier score, and slope and intercept of a logistic regression of the truth on the logit of the probability.

    Van Calster et al. 2016 (doi:10.1016/j.jclinepi.2015.12.005). A slope below 1 means probabilities that are too
    extreme. The intercept is that of the model with slope 1: above 0 means probabilities that are too low.

    Returns:
        `brier`, `calibration_slope`, `calibration_intercept`; the last two NaN where there is one class only.

    Raises:
        ValueError: If a probability is missing.
    """
    check_known(prob)
    positive, prob = np.asarray(positive, bool), np.clip(np.asarray(prob, float), 1e-6, 1 - 1e-6)
    brier = float(np.mean((prob - positive) ** 2))
    both = positive.any() and not positive.all()
    slope = (
        LogisticRegression(C=np.inf, max_iter=1000).fit(logit(prob)[:, None], positive).coef_[0, 0] if both else np.nan
    )
    level = _intercept(positive, logit(prob))
    return {"brier": brier, "calibration_slope": float(slope), "calibration_intercept": level}


def calibration_intervals(positive: np.ndarray, prob: np.ndarray) -> dict[str, float]:
    """Wald's 95% intervals of slope and intercept, each in its own model of `calibration_line`.

    Returns:
        `calibration_slope_low`, `calibration_slope_high`, `calibration_intercept_low`, `calibration_intercept_high`;
        NaN where there is one class only, or the probabilities separate the classes.
    """
    line, positive = calibration_line(positive, prob), np.asarray(positive, bool)
    linear = logit(np.clip(np.asarray(prob, float), 1e-6, 1 - 1e-6))
    found = {f"calibration_{name}_{end}": float("nan") for name in ("slope", "intercept") for end in ("low", "high")}
    if not positive.any() or positive.all() or delong(positive, prob)["auc"] in (0, 1):
        return found
    slope, level = line["calibration_slope"], line["calibration_intercept"]
    fitted = expit(slope * linear + _intercept(positive, slope * linear))
    design = np.stack([np.ones(len(linear)), linear], axis=1)
    errors = {
        "slope": float(np.sqrt(np.linalg.inv(design.T @ (design * (fitted * (1 - fitted))[:, None]))[1, 1])),
        "intercept": float(1 / np.sqrt((expit(linear + level) * (1 - expit(linear + level))).sum())),
    }
    for name, error in errors.items():
        for end, sign in (("low", -1), ("high", 1)):
            found[f"calibration_{name}_{end}"] = line[f"calibration_{name}"] + sign * Z * error
    return found


def check_known(score: np.ndarray) -> None:
    """Raise a ValueError with the number of missing scores (N,), if there are any."""
    missing = int((~np.isfinite(np.asarray(score, float))).sum())
    if missing:
        raise ValueError(
            f"{missing} of {len(score)} scores are missing or infinite: leave these cases out, or fill them"
        )


def net_benefit(positive: np.ndarray, prob: np.ndarray, threshold: float) -> dict[str, float]:
    """`net_benefit` of the model at one threshold, and `net_benefit_all` of treating all."""
    found = decision_curve(positive, prob, np.array([threshold]))
    return {"net_benefit": float(found["model"][0]), "net_benefit_all": float(found["all"][0])}


def decision_curve(positive: np.ndarray, prob: np.ndarray, thresholds: np.ndarray) -> dict[str, np.ndarray]:
    """Net benefit of treating patients above a threshold of the probability, beside treating all and none.

    Vickers and Elkin 2006 (doi:10.1177/0272989X06295361): TP / N - FP / N * t / (1 - t).

    Args:
        positive: (N,) bool.
        prob: (N,).
        thresholds: (T,) in (0, 1).

    Returns:
        `model` and `all` (T,); treating none is 0.
    """
    positive, prob, t = np.asarray(positive, bool), np.asarray(prob, float), np.asarray(thresholds, float)
    odds = t / (1 - t)
    called = prob[None] >= t[:, None]
    tp, fp = (called & positive).mean(1), (called & ~positive).mean(1)
    share = positive.mean()
    return {"model": tp - fp * odds, "all": share - (1 - share) * odds}


def mcnemar(right: np.ndarray, other: np.ndarray) -> float:
    """Exact p of McNemar's test of two readers of the same cases, (N,) bool where each is right."""
    only, theirs = int((right & ~other).sum()), int((~right & other).sum())
    return float(stats.binomtest(only, only + theirs).pvalue) if only + theirs else 1.0


def p_text(p: float) -> str:
    """A p value as written in tables."""
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def _areas(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas (K,) of scores (K, N), and their covariance (K, K)."""
    positive = np.asarray(positive, bool)
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        raise ValueError(f"{m} positive and {n} negative cases have no ROC curve: both are needed")
    for score in scores:
        check_known(score)
    ranks = stats.rankdata(scores, axis=1)
    # The share of negatives below each positive, and of positives above each negative.
    above = (ranks[:, positive] - stats.rankdata(scores[:, positive], axis=1)) / n
    below = 1 - (ranks[:, ~positive] - stats.rankdata(scores[:, ~positive], axis=1)) / m
    covariance = sum(np.atleast_2d(np.cov(part)) / size if size > 1 else 0.0 for part, size in ((above, m), (below, n)))
    return above.mean(1), np.zeros((len(scores),) * 2) + covariance


def _wilson(part: int, whole: int) -> tuple[float, float]:
    low, high = stats.binomtest(part, whole).proportion_ci(method="wilson")
    return float(low), float(high)


def _intercept(positive: np.ndarray, offset: np.ndarray) -> float:
    """By Newton's method, the constant whose addition makes the mean probability the share of positives."""
    share = positive.mean()
    if share in (0, 1):
        return float("nan")
    value = 0.0
    for _ in range(100):
        prob = expit(offset + value)
        step = (share - prob.mean()) / max((prob * (1 - prob)).mean(), 1e-12)
        value += float(np.clip(step, -2, 2))
        if abs(step) < 1e-10:
            break
    return value
