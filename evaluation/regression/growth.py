"""Forecast of a follow-up volume from a table: the risk of expansion, and how much bleeds grow with and without it."""

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medzoo.evaluation.regression.risk import expand, fit_risk, risk_of

__all__ = ["GROUPS", "fit_growth", "growth_of"]

GROUPS = ("stable", "expanding")
_FEW = 3  # of a smaller group only the mean is known
_PENALTIES = np.logspace(-2, 4, 13)


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
        mean = features @ numbers[f"{name}_weight"] + numbers[f"{name}_bias"]
        drawn = mean[:, None] + numbers[f"{name}_residuals"]
        samples.append(drawn if regression else np.tile(numbers[f"{name}_growth"], (count, 1)))
        weights.append(np.repeat(chance[:, None] / size, size, axis=1))
    return np.concatenate(samples, 1), np.concatenate(weights, 1)


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
