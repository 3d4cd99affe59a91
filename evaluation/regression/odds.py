"""Tables of odds ratios with profile-likelihood intervals: each predictor alone, and all in one model."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from medzoo.evaluation.regression.likelihood import likelihood_ratio_p, maximise, profile_interval
from medzoo.evaluation.regression.logistic import LogisticFit, fit_logistic
from medzoo.evaluation.regression.predictors import standardised

__all__ = ["multivariate_table", "univariate_table"]


def univariate_table(
    x: np.ndarray, positive: np.ndarray, names: Sequence[str], per: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """A row for each predictor in a model of its own.

    Args:
        x: (N, K) without missing values.
        positive: (N,) bool.
        names: K names.
        per: (K,) change of each predictor that the odds ratio refers to, 1 unit by default; `x.std(0)` makes
            predictors in different units comparable.

    Returns:
        Rows as in `multivariate_table`.

    Raises:
        ValueError: As `fit_logistic` does.
    """
    x, per = np.asarray(x, float), np.ones(len(names)) if per is None else np.asarray(per, float)
    rows = []
    for k, name in enumerate(names):
        fit = fit_logistic(x[:, [k]], positive, [name])
        rows += multivariate_table(fit, x[:, [k]], positive, per[[k]])
    return rows


def multivariate_table(
    fit: LogisticFit, x: np.ndarray, positive: np.ndarray, per: np.ndarray | None = None
) -> list[dict[str, Any]]:
    """A row for each predictor of a model.

    Args:
        fit: What `fit_logistic` returned for `x` and `positive`.
        x: (N, K).
        positive: (N,) bool.
        per: (K,) change of each predictor that the odds ratio refers to, 1 unit by default.

    Returns:
        `predictor`, `cases`, `events`, `odds_ratio` with its 95% profile-likelihood interval `low` and `high`, `p`
        of the likelihood-ratio test, both penalised where `method` is `firth`; `per`, and the `coefficient` of one
        unit with its `standard_error`.
    """
    x, positive = np.asarray(x, float), np.asarray(positive, bool)
    per = np.ones(x.shape[1]) if per is None else np.asarray(per, float)
    design, back = standardised(x)
    penalised = fit.method == "firth"
    top = maximise(design, positive, penalised=penalised)
    rows = []
    for k, name in enumerate(fit.names):
        unit = per[k] * back[k + 1, k + 1]  # from z-scores to the change `per`
        low, high = profile_interval(design, positive, k + 1, top, penalised=penalised)
        cells = {
            "predictor": name,
            "cases": fit.cases,
            "events": fit.events,
            "odds_ratio": np.exp(fit.coefficients[k] * per[k]),
            "low": np.exp(low * unit),
            "high": np.exp(high * unit),
            "p": likelihood_ratio_p(design, positive, k + 1, top, penalised=penalised),
            "per": per[k],
            "coefficient": fit.coefficients[k],
            "standard_error": fit.standard_errors[k + 1],
        }
        rows.append({key: value if isinstance(value, str | int) else float(value) for key, value in cells.items()})
        rows[-1]["method"] = fit.method
    return rows
