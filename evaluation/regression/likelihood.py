"""Maximum and profile of a binary logistic likelihood, with or without Firth's penalty.

The penalty 0.5 log det(X'WX) (Firth 1993, doi:10.1093/biomet/80.1.27) keeps estimates finite where predictors
separate the classes (Heinze and Schemper 2002, doi:10.1002/sim.1047). A profile holds one coefficient and
maximises over the others, with the penalty of the full design, as logistf does.

Everywhere `design` is (N, P) with full column rank, a column of ones where the model has an intercept, and
`positive` (N,) bool. Estimates do not depend on the scale of the columns, but the steps do: scale the columns to about
unit spread.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.optimize import brentq, minimize
from scipy.special import expit, log_expit

__all__ = ["Maximum", "likelihood_ratio_p", "maximise", "profile_interval"]

FARTHEST = 60  # standard errors from the estimate at which a bound of an interval counts as infinite
_FLATTEST = 1e-4  # least information along any direction; below it a standard error would exceed 100
_NOTHING = -1e10  # logarithm of the penalised likelihood where the information is singular
_SEARCH: dict[str, Any] = {"method": "trust-exact", "options": {"gtol": 1e-7, "maxiter": 500}}


@dataclass(frozen=True)
class Maximum:
    """The maximum of a likelihood.

    Attributes:
        coefficients: (P,).
        log_likelihood: At the maximum, with the penalty if there is one.
        covariance: (P, P) inverse of the information X'WX at the maximum, without weights for the penalty.
    """

    coefficients: np.ndarray
    log_likelihood: float
    covariance: np.ndarray


def maximise(
    design: np.ndarray,
    positive: np.ndarray,
    *,
    penalised: bool,
    start: np.ndarray | None = None,
    held: int | None = None,
) -> Maximum:
    """Maximise by Newton's method in a trust region, which also leaves saddles caused by the penalty.

    Args:
        design: (N, P).
        positive: (N,) bool.
        penalised: Whether to add Firth's penalty.
        start: (P,) first guess, zeros by default.
        held: A column whose coefficient stays as in `start`.

    Returns:
        The maximum.

    Raises:
        ValueError: If no maximum is found, as without the penalty where the classes are separated or nearly so.
    """
    free = np.flatnonzero(np.arange(design.shape[1]) != held)
    origin = np.zeros(design.shape[1]) if start is None else start

    def at(values: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        coefficients = origin.copy()
        coefficients[free] = values
        value, score, information = _likelihood(design, positive, coefficients, penalised)
        return value, score[free], information[np.ix_(free, free)]

    def curvature(values: np.ndarray) -> np.ndarray:
        if not penalised:
            return at(values)[2]
        moves = np.diag(1e-5 * (1 + np.abs(values)))
        slopes = [(at(values - move)[1] - at(values + move)[1]) / (2 * move.max()) for move in moves]
        return (np.array(slopes) + np.transpose(slopes)) / 2

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        value, score, _ = at(values)
        return -value, -score

    found = minimize(loss, origin[free], jac=True, hess=curvature, **_SEARCH).x
    for _ in range(3):  # the last digits of the likelihoods are noise, so the search ends early: refine by the score
        step = np.linalg.lstsq(curvature(found), at(found)[1], rcond=None)[0]
        if np.abs(at(found + step)[1]).max() < np.abs(at(found)[1]).max():
            found = found + step
    coefficients = origin.copy()
    coefficients[free] = found
    value, score, information = _likelihood(design, positive, coefficients, penalised)
    if np.abs(score[free]).max() > 1e-5 or (held is None and np.linalg.eigvalsh(information)[0] < _FLATTEST):
        raise ValueError("the likelihood has no maximum within reach: do the predictors nearly separate the classes?")
    return Maximum(coefficients, value, np.linalg.pinv(information))


def profile_interval(
    design: np.ndarray, positive: np.ndarray, column: int, top: Maximum, *, penalised: bool, level: float = 0.95
) -> tuple[float, float]:
    """Values of a coefficient whose likelihood-ratio test against `top` is not significant.

    Args:
        design: (N, P).
        positive: (N,) bool.
        column: The coefficient.
        top: From `maximise`.
        penalised: As for `top`.
        level: Coverage of the interval.

    Returns:
        Lower and upper bound; infinite where the likelihood does not fall far enough.
    """
    least = top.log_likelihood - stats.chi2.ppf(level, 1) / 2
    centre, error = float(top.coefficients[column]), float(np.sqrt(top.covariance[column, column]))

    def hold(value: float, near: Maximum) -> Maximum:
        found = [_hold(design, positive, column, value, near, penalised)]
        with suppress(ValueError):  # with the penalty there can be several maxima, and some starts find none
            found.append(_hold(design, positive, column, value, top, penalised))
        return max(found, key=lambda maximum: maximum.log_likelihood)

    def above(value: float, near: Maximum) -> float:
        return hold(value, near).log_likelihood - least

    def bound(side: int) -> float:
        near, width = top, 1.0
        while width <= FARTHEST:
            held = hold(centre + side * width * error, near)
            if held.log_likelihood <= least:
                inner, outer = near.coefficients[column], held.coefficients[column]
                return float(brentq(above, inner, outer, args=(near,), xtol=1e-10))
            near, width = held, 1.6 * width
        return side * np.inf

    return bound(-1), bound(1)


def likelihood_ratio_p(
    design: np.ndarray, positive: np.ndarray, column: int, top: Maximum, *, penalised: bool
) -> float:
    """P of the likelihood-ratio test that a coefficient is 0, penalised if `penalised`."""
    without = _hold(design, positive, column, 0.0, top, penalised)
    return float(stats.chi2.sf(max(2 * (top.log_likelihood - without.log_likelihood), 0), 1))


def _hold(
    design: np.ndarray, positive: np.ndarray, column: int, value: float, near: Maximum, penalised: bool
) -> Maximum:
    """The maximum with one coefficient held; starts at the maximum of a quadratic approximation around `near`."""
    along = near.covariance[:, column] / near.covariance[column, column]
    start = near.coefficients + along * (value - near.coefficients[column])
    start[column] = value
    return maximise(design, positive, penalised=penalised, start=start, held=column)


def _likelihood(
    design: np.ndarray, positive: np.ndarray, coefficients: np.ndarray, penalised: bool
) -> tuple[float, np.ndarray, np.ndarray]:
    """Logarithm of the likelihood, its gradient (P,) and the information (P, P)."""
    linear = design @ coefficients
    prob = expit(linear)
    weight = prob * expit(-linear)
    information = (design * weight[:, None]).T @ design
    value = float(log_expit(np.where(positive, linear, -linear)).sum())
    residual = positive - prob
    if penalised:
        sign, size = np.linalg.slogdet(information)
        if sign <= 0:
            return _NOTHING, np.zeros_like(coefficients), information
        leverage = weight * np.einsum("np,pn->n", design, np.linalg.solve(information, design.T))
        value, residual = value + 0.5 * float(size), residual + leverage * (0.5 - prob)
    return value, design.T @ residual, information
