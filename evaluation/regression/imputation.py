"""Missing values: multiple imputation for coefficients, a filler fitted to training cases for predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  (makes the next import possible)
from sklearn.impute import IterativeImputer

from medzoo.evaluation.regression.logistic import Linear, LogisticFit, Method, fit_logistic

__all__ = ["PooledFit", "TrainingFiller", "fit_imputed", "impute", "pool", "pooled_table", "training_filler"]


def impute(x: np.ndarray, positive: np.ndarray, names: Sequence[str], *, draws: int = 20, seed: int = 0) -> np.ndarray:
    """Draw missing values by chained Bayesian regressions on the other predictors and the outcome.

    The outcome is included, or associations with it would be weakened (Moons et al. 2006,
    doi:10.1016/j.jclinepi.2006.01.009). So use these values for coefficients, never to judge predictions. Draws are
    normal: for a predictor of 0 and 1 they may be any number.

    Args:
        x: (N, K), NaN where missing.
        positive: (N,) bool.
        names: K names.
        draws: Completed sets M; about as many as there are percent of cases with gaps (White et al. 2011).
        seed: Of the draws.

    Returns:
        (M, N, K) without missing values.

    Raises:
        ValueError: If a predictor has fewer than two known values.
    """
    centre, spread = _known(x, names)
    scaled = np.column_stack([(np.asarray(x, float) - centre) / spread, np.asarray(positive, float)])
    sets = [
        IterativeImputer(sample_posterior=True, max_iter=10, random_state=seed + k).fit_transform(scaled)[:, :-1]
        for k in range(draws)
    ]
    return np.where(np.isnan(x), np.stack(sets) * spread + centre, x)


@dataclass(frozen=True)
class TrainingFiller:
    """Fills gaps of new cases by linear regressions of each predictor on the others, chained several times.

    Attributes:
        names: K names.
        centre: (K,) means of the known values of the training cases.
        spread: (K,) their standard deviations.
        start: (K,) value of a gap before the first regression, in standard deviations from the mean.
        steps: In order, the predictor that is filled, K coefficients (0 for itself) and the intercept.
    """

    names: tuple[str, ...]
    centre: np.ndarray
    spread: np.ndarray
    start: np.ndarray
    steps: tuple[tuple[int, np.ndarray, float], ...]

    def __call__(self, new: np.ndarray) -> np.ndarray:
        """(M, K) without NaN, from (M, K); the value of a case does not depend on the other cases."""
        new = np.asarray(new, float)
        gaps = np.isnan(new)
        filled = np.where(gaps, self.start, (new - self.centre) / self.spread)
        for column, coefficients, intercept in self.steps:
            rows = gaps[:, column]
            filled[rows, column] = filled[rows] @ coefficients + intercept
        return np.where(gaps, filled * self.spread + self.centre, new)


def training_filler(x: np.ndarray, names: Sequence[str]) -> TrainingFiller:
    """Fit a filler to the predictors of the training cases, without their outcome.

    Args:
        x: (N, K) of the training cases, NaN where missing.
        names: K names.

    Returns:
        The regressions of scikit-learn's `IterativeImputer`, as plain arrays.

    Raises:
        ValueError: If a predictor has fewer than two known values.
    """
    centre, spread = _known(x, names)
    imputer = IterativeImputer(max_iter=50, random_state=0).fit((np.asarray(x, float) - centre) / spread)
    steps = []
    for step in imputer.imputation_sequence_:
        coefficients = np.zeros(len(centre))
        coefficients[step.neighbor_feat_idx] = step.estimator.coef_
        steps.append((int(step.feat_idx), coefficients, float(step.estimator.intercept_)))
    return TrainingFiller(tuple(names), centre, spread, imputer.initial_imputer_.statistics_, tuple(steps))


@dataclass(frozen=True)
class PooledFit(Linear):
    """A model pooled over imputations.

    Attributes:
        covariance: (K + 1, K + 1) of the intercept and the coefficients, within and between imputations.
        degrees: (K + 1,) degrees of freedom of their t-distributions.
        missing_information: (K + 1,) share of the information that is missing.
        method: Of every fit, `ml` or `firth`.
        cases: N.
        events: Positive cases.
        notes: Of the fits, each once.
    """

    covariance: np.ndarray
    degrees: np.ndarray
    missing_information: np.ndarray
    method: Method
    cases: int
    events: int
    notes: tuple[str, ...]


def fit_imputed(imputed: np.ndarray, positive: np.ndarray, names: Sequence[str]) -> PooledFit:
    """Fit each completed set and pool the fits; if the classes are separated in one set, all use Firth's likelihood.

    Args:
        imputed: (M, N, K) from `impute`.
        positive: (N,) bool.
        names: K names.

    Returns:
        The pooled model.

    Raises:
        ValueError: As `fit_logistic` does.
    """
    fits = [fit_logistic(x, positive, names) for x in imputed]
    if len({fit.method for fit in fits}) > 1:
        fits = [
            fit if fit.method == "firth" else fit_logistic(x, positive, names, method="firth")
            for x, fit in zip(imputed, fits, strict=True)
        ]
    return pool(fits)


def pool(fits: Sequence[LogisticFit]) -> PooledFit:
    """Rubin's rules (1987), with the degrees of freedom of Barnard and Rubin 1999 (doi:10.1093/biomet/86.4.948).

    Args:
        fits: M of the same predictors and cases, one for each imputation.

    Returns:
        The pooled model.
    """
    count, first = len(fits), fits[0]
    values = np.array([[fit.intercept, *fit.coefficients] for fit in fits])
    within = np.mean([fit.covariance for fit in fits], axis=0)
    between = np.atleast_2d(np.cov(values, rowvar=False)) if count > 1 else np.zeros_like(within)
    total = within + (1 + 1 / count) * between
    share = (1 + 1 / count) * np.diag(between) / np.diag(total)
    complete = first.cases - values.shape[1]
    observed = (complete + 1) / (complete + 3) * complete * (1 - share)
    with np.errstate(divide="ignore"):
        degrees = 1 / (share**2 / max(count - 1, 1) + 1 / observed)
    ratio = share / (1 - share)
    return PooledFit(
        first.names,
        float(values[:, 0].mean()),
        values[:, 1:].mean(0),
        total,
        degrees,
        (ratio + 2 / (degrees + 3)) / (ratio + 1) if count > 1 else np.zeros(len(degrees)),
        first.method,
        first.cases,
        first.events,
        tuple(dict.fromkeys(note for fit in fits for note in fit.notes)),
    )


def pooled_table(fit: PooledFit, per: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Odds ratios of a pooled model with 95% Wald intervals by Student's t.

    Args:
        fit: From `pool`.
        per: (K,) change of each predictor that the odds ratio refers to, 1 unit by default.

    Returns:
        Rows as in `odds.multivariate_table`, with `p` of Wald's test and `missing_information`.
    """
    per = np.ones(len(fit.names)) if per is None else np.asarray(per, float)
    rows = []
    for k, name in enumerate(fit.names):
        value, error, degrees = fit.coefficients[k], float(np.sqrt(fit.covariance[k + 1, k + 1])), fit.degrees[k + 1]
        low, high = value + stats.t.ppf([0.025, 0.975], degrees) * error
        numbers = {
            "odds_ratio": np.exp(value * per[k]),
            "low": np.exp(low * per[k]),
            "high": np.exp(high * per[k]),
            "p": 2 * stats.t.sf(abs(value) / error, degrees),
            "per": per[k],
            "coefficient": value,
            "standard_error": error,
            "missing_information": fit.missing_information[k + 1],
        }
        cells = {key: float(number) for key, number in numbers.items()}
        rows.append({"predictor": name, "cases": fit.cases, "events": fit.events, **cells, "method": fit.method})
    return rows


def _known(x: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Mean (K,) and standard deviation (K,) of the known values, 1 where they do not vary."""
    x = np.asarray(x, float)
    for name, column in zip(names, x.T, strict=True):
        if np.isfinite(column).sum() < 2:
            raise ValueError(f"{name}: {np.isfinite(column).sum()} of {len(column)} values are known; leave it out")
    spread = np.nanstd(x, axis=0)
    return np.nanmean(x, axis=0), np.where(spread > 0, spread, 1)
