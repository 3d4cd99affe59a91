"""Logistic regression of a diagnosis on measured predictors, with warnings about unreliable coefficients.

Maximum likelihood is used where the classes overlap, and Firth's penalised likelihood where the predictors separate
them and maximum likelihood has no finite estimate. Standard errors are the roots of diag (X'WX)^-1 at the estimate,
without the weights for the penalty that some programs add. The solver is our own because Firth and profiles need one
that can hold a coefficient; without the penalty it agrees with statsmodels, as tests show.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from medzoo.evaluation.regression.likelihood import maximise
from medzoo.evaluation.regression.predictors import (
    check_predictors,
    events_note,
    inflation_notes,
    separation,
    standardised,
)

__all__ = ["Linear", "LogisticFit", "Method", "fit_logistic", "recentred"]

Method = Literal["ml", "firth"]


@dataclass(frozen=True)
class Linear:
    """A logistic model: probability = sigma(intercept + x @ coefficients), predictors in their own units.

    Attributes:
        names: K predictors.
        intercept: On the logit scale.
        coefficients: (K,) log odds ratios of one unit more.
    """

    names: tuple[str, ...]
    intercept: float
    coefficients: np.ndarray

    def linear_predictor(self, x: np.ndarray) -> np.ndarray:
        """Logits (N,) of predictors (N, K)."""
        return self.intercept + np.asarray(x, float) @ self.coefficients

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities (N,) of the positive class, of predictors (N, K)."""
        return expit(self.linear_predictor(x))


@dataclass(frozen=True)
class LogisticFit(Linear):
    """A fitted model.

    Attributes:
        covariance: (K + 1, K + 1) of the intercept and the coefficients.
        method: `ml` or `firth`.
        cases: N.
        events: Positive cases.
        notes: Warnings about the coefficients, a sentence each.
    """

    covariance: np.ndarray
    method: Method
    cases: int
    events: int
    notes: tuple[str, ...]

    @property
    def standard_errors(self) -> np.ndarray:
        """(K + 1,) of the intercept and the coefficients."""
        return np.sqrt(np.diag(self.covariance))


def fit_logistic(
    x: np.ndarray, positive: np.ndarray, names: Sequence[str], *, method: Literal["auto", "ml", "firth"] = "auto"
) -> LogisticFit:
    """Fit one model to all predictors.

    Args:
        x: (N, K) in any units.
        positive: (N,) bool.
        names: K names of the predictors, for messages and tables.
        method: `auto` uses maximum likelihood, or Firth's where the predictors separate the classes or nearly do.

    Returns:
        The fit.

    Raises:
        ValueError: If a value is missing, a predictor is constant or a combination of others, a class is missing,
            or the classes are separated and `method` is `ml`.
    """
    x, positive = check_predictors(x, positive, names)
    apart: str = separation(x, positive)
    if apart != "none" and method == "ml":
        raise ValueError(f"{', '.join(names)}: {apart} separation of the classes has no maximum likelihood; take firth")
    design, back = standardised(x)
    chosen: Method = "firth" if method == "firth" or apart != "none" else "ml"
    try:
        top = maximise(design, positive, penalised=chosen == "firth")
    except ValueError:
        if method != "auto" or chosen == "firth":
            raise
        apart, chosen = "near", "firth"
        top = maximise(design, positive, penalised=True)
    values = back @ top.coefficients
    notes = [f"{apart} separation of the classes by {', '.join(names)}: Firth's likelihood" if apart != "none" else ""]
    notes += [events_note(positive, len(names)), *inflation_notes(x, names)]
    return LogisticFit(
        tuple(names),
        float(values[0]),
        values[1:],
        back @ top.covariance @ back.T,
        chosen,
        len(x),
        int(positive.sum()),
        tuple(filter(None, notes)),
    )


def recentred(fit: Linear, x: np.ndarray, positive: np.ndarray) -> Linear:
    """The same model with the intercept that makes its mean probability the share of positive cases.

    Firth's penalty draws probabilities towards 0.5, so those of a rare diagnosis are too high on average. Odds ratios
    are not changed (FLIC, Puhr et al. 2017, doi:10.1002/sim.7273).

    Args:
        fit: The model; one of maximum likelihood does not change.
        x: (N, K) the cases of the fit, without missing values.
        positive: (N,) bool, both classes.

    Returns:
        The model, of the type of `fit`.
    """
    linear, share = fit.linear_predictor(x), float(np.mean(positive))
    reach = float(np.abs(linear).max()) + abs(float(np.log(share / (1 - share)))) + 1
    shift = brentq(lambda value: float(expit(linear + value).mean()) - share, -reach, reach, xtol=1e-13)
    return replace(fit, intercept=fit.intercept + shift)
