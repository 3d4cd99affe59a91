"""Checks of the predictors of a logistic regression: missing, constant, tied, separating, or too many."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.optimize import linprog

from medzoo.evaluation.scores.diagnostic import delong
from medzoo.evaluation.scores.intervals import interval_text

__all__ = [
    "Separation",
    "check_predictors",
    "events_note",
    "inflation_notes",
    "polarity_note",
    "separation",
    "standardised",
    "variance_inflation",
]

Separation = Literal["none", "quasi", "complete"]
EVENTS = 10  # of the rarer class for each predictor; with fewer, coefficients are unstable (Peduzzi et al. 1996)
INFLATION = 10  # variance inflation above which predictors are nearly redundant
TIED = 1e-8  # a singular value of the z-scores, as a share of that of a single predictor, that counts as 0


def check_predictors(x: np.ndarray, positive: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return them as float (N, K) and bool (N,), or raise one line that names the unusable predictor.

    Raises:
        ValueError: If a value is missing, a predictor is constant or a combination of others, or a class is
            missing.
    """
    x, positive = np.asarray(x, float), np.asarray(positive, bool)
    if x.shape != (len(positive), len(names)):
        raise ValueError(f"predictors of shape {x.shape} are not those of {len(positive)} cases and {len(names)} names")
    if not positive.any() or positive.all():
        raise ValueError(f"{positive.sum()} positive and {(~positive).sum()} negative cases: both classes are needed")
    for name, column in zip(names, x.T, strict=True):
        if not np.isfinite(column).all():
            missing = int((~np.isfinite(column)).sum())
            raise ValueError(f"{name}: {missing} of {len(column)} values are missing or infinite; impute them first")
        if np.ptp(column) <= 1e-12 * np.abs(column).max():
            raise ValueError(f"{name}: every case has {column[0]:g}; leave this predictor out")
    design, _ = standardised(x)
    full = _rank(design)
    if full < design.shape[1]:
        tied = ", ".join(name for k, name in enumerate(names) if _rank(np.delete(design, k + 1, 1)) == full)
        raise ValueError(f"{tied}: each follows exactly from the others (or cases are too few); leave one out")
    return x, positive


def separation(x: np.ndarray, positive: np.ndarray) -> Separation:
    """Whether some combination of the predictors splits the classes, by linear programming (Konis 2007, Oxford).

    Args:
        x: (N, K) without missing values.
        positive: (N,) bool.

    Returns:
        `complete` if a plane has each class on its own side, `quasi` if some cases lie on it, else `none`.
    """
    design, _ = standardised(x)
    sides = design * np.where(positive, 1.0, -1.0)[:, None]
    limits = [(-1, 1)] * design.shape[1]
    found = linprog(-sides.sum(0), A_ub=-sides, b_ub=np.zeros(len(sides)), bounds=limits)
    if -found.fun < 1e-6 * len(sides):
        return "none"
    gap = np.concatenate([-sides, np.ones((len(sides), 1))], axis=1)  # the last unknown: the smallest distance
    widest = linprog([0.0] * design.shape[1] + [-1.0], A_ub=gap, b_ub=np.zeros(len(sides)), bounds=[*limits, (0, None)])
    return "complete" if -widest.fun > 1e-6 else "quasi"


def standardised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Design (N, K + 1) of ones and z-scores, and the matrix that turns its coefficients into those of x."""
    mean, spread = x.mean(0), x.std(0)
    back = np.diag(np.concatenate([[1.0], 1 / spread]))
    back[0, 1:] = -mean / spread
    return np.concatenate([np.ones((len(x), 1)), (x - mean) / spread], axis=1), back


def variance_inflation(x: np.ndarray) -> np.ndarray:
    """(K,) variance inflation of each predictor: 1 / (1 - R^2) of its regression on the others."""
    x = np.asarray(x, float)
    return np.diag(np.linalg.inv(np.atleast_2d(np.corrcoef(x, rowvar=False))))


def events_note(positive: np.ndarray, candidates: int) -> str:
    """A warning if the rarer class has fewer than 10 cases for each candidate predictor, else an empty string.

    Args:
        positive: (N,) bool.
        candidates: Number of predictors that were considered, including those that a selection dropped.
    """
    events = int(min(np.sum(positive), len(positive) - np.sum(positive)))
    if events >= EVENTS * candidates:
        return ""
    share = f"{events / candidates:.1f} for each of {candidates} candidate predictors"
    return f"{events} cases of the rarer class, {share} (below {EVENTS}): coefficients are unstable"


def polarity_note(positive: np.ndarray, score: np.ndarray, name: str) -> str:
    """A warning if a score that should be larger for positive cases is smaller, else an empty string.

    Args:
        positive: (N,) bool.
        score: (N,).
        name: Of the score.

    Returns:
        The warning where the whole 95% interval of the area under the ROC curve lies below 0.5.
    """
    area = delong(positive, score)
    if area["auc_high"] >= 0.5:
        return ""
    text = interval_text(area, "auc")
    return f"{name}: area under the ROC curve {text}, smaller for positive cases: are labels or score turned round?"


def inflation_notes(x: np.ndarray, names: Sequence[str]) -> list[str]:
    """A warning for each predictor (column of x, (N, K)) whose variance inflation is above 10."""
    pairs = zip(names, variance_inflation(x), strict=True)
    return [f"{name}: variance inflation {vif:.1f} (above {INFLATION})" for name, vif in pairs if vif > INFLATION]


def _rank(design: np.ndarray) -> int:
    return int(np.linalg.matrix_rank(design, tol=TIED * np.sqrt(len(design))))
