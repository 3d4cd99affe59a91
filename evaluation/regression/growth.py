"""Forecast of a follow-up volume from a table: the risk of expansion, and how much bleeds grow with and without it."""

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medzoo.evaluation.regression.risk import expand, fit_risk, risk_of

__all__ = ["GROUPS", "calibrated_growth", "fit_calibration", "fit_growth", "growth_of", "log_growth", "unlogged"]

GROUPS = ("stable", "expanding")
_SMALLEST_ML = 0.1  # smaller volumes, which a segmentation hardly resolves, are raised to it before the logarithm
_FEW = 3  # of a smaller group only the mean is known
_PENALTIES = np.logspace(-2, 4, 13)
_TRUSTED = 20  # validation patients who weigh as much as all that is known without them


def log_growth(baseline_ml: np.ndarray, followup_ml: np.ndarray) -> np.ndarray:
    """log(follow-up / baseline) of volumes in mL; volumes below 0.1 mL count as 0.1 mL."""
    return np.log(np.maximum(followup_ml, _SMALLEST_ML) / np.maximum(baseline_ml, _SMALLEST_ML))


def unlogged(baseline_ml: np.ndarray, growth: np.ndarray) -> np.ndarray:
    """Follow-up volumes in mL of bleeds that grow by exp(growth)."""
    return np.maximum(baseline_ml, _SMALLEST_ML) * np.exp(growth)


def fit_growth(clinical: np.ndarray, log_growth: np.ndarray, expanded: np.ndarray) -> dict[str, np.ndarray]:
    """Fit the risk of expansion, and in each group a ridge regression of the growth on the same features.

    The penalty is chosen by leave-one-out. Residuals are out of fold.

    Args:
        clinical: (M, K) scaled to [0, 1], NaN where unknown.
        log_growth: (M,) log(follow-up / baseline).
        expanded: (M,) zeros and ones.

    Returns:
        `risk_weight`, `risk_bias` and `risk_fill` of `fit_risk`; for each of `GROUPS` its `<group>_growth` (n,) and, of
        the regression, `<group>_weight` (3 K,), `<group>_bias` () and `<group>_residuals` (n,).

    Raises:
        ValueError: If all patients expand, or none.
    """
    weight, bias, fill = fit_risk(clinical, expanded)
    numbers = {"risk_weight": weight, "risk_bias": np.asarray(bias), "risk_fill": fill}
    for name, inside in zip(GROUPS, (expanded == 0, expanded == 1), strict=True):
        found = _ridge(expand(clinical[inside], fill), log_growth[inside])
        numbers |= {f"{name}_{part}": value for part, value in {"growth": log_growth[inside], **found}.items()}
    return numbers


def growth_of(
    numbers: Mapping[str, np.ndarray], clinical: np.ndarray, *, regression: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Samples of the growth: each group's, weighted by its probability.

    Args:
        numbers: From `fit_growth`.
        clinical: (B, K) scaled to [0, 1], NaN where unknown.
        regression: Whether the growth follows the regression; else the training patients' growth, the same for all.

    Returns:
        log(follow-up / baseline) (B, M) and its weights (B, M), which sum to 1.
    """
    fill = numbers["risk_fill"]
    features, count = expand(clinical, fill), len(clinical)
    risk = risk_of(clinical, numbers["risk_weight"], float(numbers["risk_bias"]), fill)
    samples, weights = [], []
    for name, chance in zip(GROUPS, (1 - risk, risk), strict=True):
        size = len(numbers[f"{name}_growth"])
        drawn = _expected(numbers, name, features)[:, None] + numbers[f"{name}_residuals"]
        samples.append(drawn if regression else np.tile(numbers[f"{name}_growth"], (count, 1)))
        weights.append(np.repeat(chance[:, None] / size, size, axis=1))
    return np.concatenate(samples, 1), np.concatenate(weights, 1)


def fit_calibration(
    numbers: Mapping[str, np.ndarray],
    clinical: np.ndarray,
    sampled: np.ndarray,
    growth: np.ndarray,
    expanded: np.ndarray,
) -> dict[str, np.ndarray]:
    """Fit how far to trust a network's growth over the regression's, to patients whom neither has seen.

    In each group the expected growth is `regression + share (network - regression)`. The share is that of least
    squared error, within [0, 1], times n / (n + 20) for n patients: few of them cannot show that a network is right.
    The spread of the regression's residuals is scaled to that of these patients, and the training patients count as 20.

    Args:
        numbers: From `fit_growth`.
        clinical: (V, K) scaled to [0, 1], NaN where unknown.
        sampled: (V,) mean log growth that the network samples for the group to which the patient belongs.
        growth: (V,) log growth of the patients.
        expanded: (V,) zeros and ones.

    Returns:
        `share` and `spread`, (2,) each, in the order of `GROUPS`.
    """
    features = expand(clinical, numbers["risk_fill"])
    shares, spreads = np.zeros(2), np.ones(2)
    for group, name in enumerate(GROUPS):
        inside = expanded == group
        expected = _expected(numbers, name, features[inside])
        apart, missed = sampled[inside] - expected, growth[inside] - expected
        if inside.sum() >= _FEW and apart.any():
            best = np.clip(apart @ missed / (apart @ apart), 0, 1)
            shares[group] = best * inside.sum() / (_TRUSTED + inside.sum())
        usual = max(float(np.square(numbers[f"{name}_residuals"]).mean()), 1e-12)
        found = np.square(missed - shares[group] * apart).sum() / usual
        spreads[group] = np.sqrt((_TRUSTED + found) / (_TRUSTED + inside.sum()))
    return {"share": shares, "spread": spreads}


def calibrated_growth(
    numbers: Mapping[str, np.ndarray], clinical: np.ndarray, sampled: np.ndarray, expanding: np.ndarray
) -> np.ndarray:
    """Growth of a patient's samples, moved and spread as `fit_calibration` found; their order stays.

    Args:
        numbers: From `fit_growth` and `fit_calibration`.
        clinical: (K,) scaled to [0, 1], NaN where unknown.
        sampled: (N,) log growth of a network's samples.
        expanding: (N,) whether a sample is to expand.

    Returns:
        (N,) log(follow-up / baseline).
    """
    features = expand(clinical[None], numbers["risk_fill"])
    result = np.array(sampled, float)
    for group, name in enumerate(GROUPS):
        inside = np.flatnonzero(expanding == group)
        if not len(inside):
            continue
        expected = float(_expected(numbers, name, features)[0])
        centre = expected + numbers["share"][group] * (sampled[inside].mean() - expected)
        levels = (sampled[inside].argsort().argsort() + 0.5) / len(inside)
        residuals = numbers[f"{name}_residuals"]
        result[inside] = centre + numbers["spread"][group] * np.quantile(residuals, levels)
    return result


def _expected(numbers: Mapping[str, np.ndarray], name: str, features: np.ndarray) -> np.ndarray:
    """Mean growth (B,) of a group by its regression."""
    return features @ numbers[f"{name}_weight"] + numbers[f"{name}_bias"]


def _ridge(features: np.ndarray, growth: np.ndarray) -> dict[str, np.ndarray]:
    """Weight, bias and residuals."""
    if len(growth) < _FEW:
        mean = growth.mean()
        return {"weight": np.zeros(features.shape[1]), "bias": np.asarray(mean), "residuals": growth - mean}
    model = make_pipeline(StandardScaler(), RidgeCV(_PENALTIES))
    folds = KFold(min(10, len(growth)), shuffle=True, random_state=0)
    residuals = growth - cross_val_predict(model, features, growth, cv=folds)
    scaler, ridge = (step for _, step in model.fit(features, growth).steps)
    weight = ridge.coef_ / scaler.scale_
    return {"weight": weight, "bias": np.asarray(ridge.intercept_ - weight @ scaler.mean_), "residuals": residuals}
