"""From latents of images to one score of each case, without using the case's own label.

Three scores of an image: `probe`, the log odds of a ridge-penalised logistic regression on the latent; `mahalanobis`,
the distance of the latent from those of normal cases, with the shrunk covariance of Ledoit and Wolf
(doi:10.1016/S0047-259X(03)00096-4); `reconstruction`, the error of the image. Images of a case are always in
one fold, for the scores and for the choice of the penalty.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold

__all__ = [
    "Aggregate",
    "Kind",
    "along_score",
    "by_case",
    "check_folds",
    "fit_score",
    "folds_by_case",
    "image_scores",
    "out_of_fold",
]

Kind = Literal["probe", "mahalanobis", "reconstruction"]
Aggregate = Literal["max", "mean", "top"]
Numbers = Mapping[str, Any]
_PENALTIES = 10.0 ** np.arange(-4.0, 1.0)  # scikit-learn's C, for latents of unit variance


def folds_by_case(positive: np.ndarray, case: np.ndarray, folds: int, seed: int = 0) -> np.ndarray:
    """(N,) the fold of each image: all images of a case in one fold, classes spread evenly.

    Raises:
        ValueError: If a class has fewer cases than there are folds.
    """
    for value in (False, True):
        count = len(np.unique(case[positive == value]))
        if count < folds:
            raise ValueError(f"folds={folds}: class {int(value)} has {count} cases; it needs one for each fold")
    fold = np.zeros(len(case), int)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for number, (_, held) in enumerate(splitter.split(np.zeros(len(case)), positive, case)):
        fold[held] = number
    return fold


def check_folds(case: np.ndarray, fold: np.ndarray) -> None:
    """Raise a ValueError that names a case in two folds, if there is one."""
    home: dict[Any, int] = {}
    for name, number in zip(case, fold, strict=True):
        if home.setdefault(name, number) != number:
            raise ValueError(f"case {name} is in folds {home[name]} and {number}: a case belongs to one")


def fit_score(kind: Kind, latent: np.ndarray, positive: np.ndarray, case: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Fit the numbers of a score, for `models.residual_vae.ImageScore.take`.

    Args:
        kind: Kind of the score; `mahalanobis` uses labels to choose normal images, `reconstruction` fits nothing.
        latent: (N, L).
        positive: (N,) bool.
        case: (N,) names.
        seed: Of the folds that choose the penalty of `probe`.

    Returns:
        `weight` (L,) and `bias`, or `centre` (L,) and `precision` (L, L), or nothing.
    """
    if kind == "reconstruction":
        return {}
    if kind == "mahalanobis":
        normal = LedoitWolf().fit(latent[~positive])
        return {"centre": normal.location_, "precision": normal.precision_}
    centre, spread = latent.mean(0), np.maximum(latent.std(0), 1e-8)
    z = (latent - centre) / spread
    few = min(len(np.unique(case[positive == value])) for value in (False, True))
    fold = folds_by_case(positive, case, max(2, min(5, few)), seed)
    fit = _ridge(z, positive, min(_PENALTIES, key=lambda c: _loss(z, positive, fold, c)))
    weight = fit.coef_[0] / spread
    return {"weight": weight, "bias": float(fit.intercept_[0] - centre @ weight)}


def image_scores(kind: Kind, numbers: Numbers, latent: np.ndarray, error: np.ndarray) -> np.ndarray:
    """(N,) of latents (N, L) and mean squared errors (N,) of images."""
    if kind == "probe":
        return latent @ numbers["weight"] + numbers["bias"]
    if kind == "reconstruction":
        return np.sqrt(error)
    away = latent - numbers["centre"]
    return np.sqrt(np.einsum("bi,ij,bj->b", away, numbers["precision"], away))


def out_of_fold(
    kind: Kind,
    latent: np.ndarray,
    error: np.ndarray,
    positive: np.ndarray,
    case: np.ndarray,
    fold: np.ndarray,
    seed: int = 0,
) -> np.ndarray:
    """(N,) scores of images, each fitted to the cases of all other folds.

    Raises:
        ValueError: If a case is in two folds.
    """
    check_folds(case, fold)
    scores = np.empty(len(latent))
    for number in np.unique(fold):
        held = fold == number
        numbers = fit_score(kind, latent[~held], positive[~held], case[~held], seed)
        scores[held] = image_scores(kind, numbers, latent[held], error[held])
    return scores


def by_case(score: np.ndarray, case: Iterable[str], names: Sequence[str], how: Aggregate, top: int = 2) -> np.ndarray:
    """(M,) the score of each named case: the largest, the mean, or the mean of the `top` largest of its images."""
    groups: dict[str, list[float]] = {name: [] for name in names}
    for value, name in zip(score, case, strict=True):
        groups[name].append(float(value))
    taken = {"max": 1, "top": top, "mean": None}[how]
    return np.array([np.mean(sorted(groups[name], reverse=True)[:taken]) for name in names])


def along_score(latent: np.ndarray, score: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean latent of images with a given score, by least squares of each latent number on the score.

    It shows what varies with the score. The weights of a probe do not: they also cancel unrelated variation (Haufe et
    al. 2014, doi:10.1016/j.neuroimage.2013.10.067).

    Args:
        latent: (N, L).
        score: (N,).
        steps: How many scores, from the 2nd percentile to the 98th.

    Returns:
        Latents (steps, L) and their scores (steps,).
    """
    centred = score - score.mean()
    pattern = centred @ (latent - latent.mean(0)) / (centred @ centred)
    low, high = np.percentile(score, [2, 98])
    scores = np.linspace(low, high, steps)
    return latent.mean(0) + (scores - score.mean())[:, None] * pattern, scores


def _ridge(z: np.ndarray, positive: np.ndarray, c: float) -> LogisticRegression:
    return LogisticRegression(C=c, max_iter=2000).fit(z, positive)


def _loss(z: np.ndarray, positive: np.ndarray, fold: np.ndarray, c: float) -> float:
    prob = np.empty(len(z))
    for number in np.unique(fold):
        held = fold == number
        prob[held] = _ridge(z[~held], positive[~held], c).predict_proba(z[held])[:, 1]
    return float(log_loss(positive, prob))
