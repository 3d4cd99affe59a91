"""Logistic regression of expansion on the clinical variables, for the probability of a forecast."""

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

__all__ = ["EXPANDED", "expand", "fit_risk", "risk_of"]

EXPANDED = 3  # features of a variable: its value, its logarithm, and whether it is unknown
_OFFSET = 0.02  # keeps the logarithm of 0 finite; the size of half an hour of 24, or 5 mL of 250


def expand(clinical: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """Features of clinical values.

    Args:
        clinical: (N, K) scaled to [0, 1], NaN where unknown.
        fill: (K,) values in place of unknown ones.

    Returns:
        (N, 3 K): values, their logarithms (hours and volumes act in proportion), indicators of unknown.
    """
    unknown = np.isnan(clinical)
    values = np.where(unknown, fill, clinical)
    return np.concatenate([values, np.log(values + _OFFSET), unknown], axis=1)


def fit_risk(clinical: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Fit the regression, with scikit-learn's default penalty on standardised features.

    Args:
        clinical: (N, K) scaled to [0, 1], NaN where unknown.
        label: (N,) 0 or 1.

    Returns:
        Weights (3 K,) and bias of the features of `expand`, and `fill` (K,), the means of the known values.

    Raises:
        ValueError: If all labels are the same.
    """
    if len(np.unique(label)) < 2:
        raise ValueError("a risk model needs patients with and without expansion")
    known = np.isfinite(clinical)
    fill = np.where(known.any(0), np.nansum(clinical, axis=0) / np.maximum(known.sum(0), 1), 0.5)
    features = expand(clinical, fill)
    mean, std = features.mean(0), features.std(0)
    std = np.where(std > 1e-9, std, 1)  # of a constant, rounding may leave 1e-17
    model = LogisticRegression(max_iter=1000).fit((features - mean) / std, label)
    weight = model.coef_[0] / std
    return weight, float(model.intercept_[0] - weight @ mean), fill


def risk_of(clinical: np.ndarray, weight: np.ndarray, bias: float, fill: np.ndarray) -> np.ndarray:
    """(N,) probabilities of expansion by the numbers of `fit_risk`; clinical values are (N, K), NaN where unknown."""
    return expit(expand(clinical, fill) @ weight + bias)
