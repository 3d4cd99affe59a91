"""Random forest and support-vector machine with settings chosen by cross-validation, for two classes or more.

The same learners as of a nomogram's `comparators`, as plain arrays that `models.fitted` reads.
"""

import logging
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from medzoo.evaluation.regression.learners.comparators import calibrated_svm, random_forest
from medzoo.evaluation.regression.learners.plain import Arrays, plain_model
from medzoo.evaluation.scores.classification import auc, one_vs_rest
from medzoo.evaluation.scores.representations import drawn

__all__ = ["MOST", "Learners", "fit_learners"]

MOST = 3000
"""Training cases: a machine takes the square of them in time, and a forest as many leaves in the checkpoint."""
LEAVES = (1, 5, 20)
PENALTIES = (0.1, 1.0, 10.0, 100.0)
WIDTHS = (0.1, 0.3, 1.0)  # of the kernel: gamma times the number of features, on scaled features
FOLDS = 3
TREES, SEARCHED = 200, 25  # of a forest, and of one whose settings are tried

log = logging.getLogger(__name__)


class Learners:
    """Fitted scikit-learn models, `forest` and `machine`, with the settings that were chosen."""

    def __init__(self, features: np.ndarray, label: np.ndarray, seed: int = 0) -> None:
        self.forest, self.forest_settings = _forest(features, label, seed)
        self.machine, self.machine_settings = _machine(features, label)

    @property
    def arrays(self) -> tuple[Arrays, Arrays]:
        """Of the forest and of the machine."""
        return plain_model(self.forest), plain_model(self.machine)

    def __str__(self) -> str:
        told = {**self.forest_settings, **self.machine_settings}
        return "chosen by cross-validation: " + ", ".join(f"{name} {value:.3g}" for name, value in told.items())


def fit_learners(features: np.ndarray, label: np.ndarray, num_classes: int, *, seed: int = 0) -> Learners | None:
    """Fit both to the same cases; settings have the largest mean AUC over three stratified folds.

    Args:
        features: (N, F), finite.
        label: (N,) class indices.
        num_classes: K.
        seed: Of forest, folds, and of the choice of `MOST` cases where there are more.

    Returns:
        The models; None where a class has fewer than four cases, too few to hold some out twice.
    """
    counts = np.bincount(label, minlength=num_classes)
    if counts.min() < FOLDS + 1:
        log.warning("no forest and no SVM: class %d has %d training cases, too few to choose settings on",
                    int(counts.argmin()), int(counts.min()))  # fmt: skip
        return None
    chosen = drawn(label, MOST, "forest and SVM", seed)
    return Learners(features[chosen], label[chosen], seed)


def _forest(features: np.ndarray, label: np.ndarray, seed: int) -> tuple[Any, dict[str, Any]]:
    search = _search(random_forest(seed, trees=SEARCHED), {"min_samples_leaf": LEAVES}, features, label)
    return random_forest(seed, trees=TREES, **search).fit(features, label), search


def _machine(features: np.ndarray, label: np.ndarray) -> tuple[Any, dict[str, Any]]:
    many = len(np.unique(label)) > 2
    plain: Any = SVC(class_weight="balanced")
    grid = {"C": PENALTIES, "gamma": [width / features.shape[1] for width in WIDTHS]}
    prefix = "onevsrestclassifier__estimator__" if many else "svc__"
    model = make_pipeline(StandardScaler(), OneVsRestClassifier(plain) if many else plain)
    found = _search(model, {prefix + name: values for name, values in grid.items()}, features, label)
    settings = {name.removeprefix(prefix): value for name, value in found.items()}
    best: Any = calibrated_svm(np.bincount(label).min(), **settings)
    return make_pipeline(StandardScaler(), OneVsRestClassifier(best) if many else best).fit(features, label), settings


def _search(model: BaseEstimator, grid: dict[str, Any], features: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    return GridSearchCV(model, grid, scoring=_area, cv=folds, refit=False).fit(features, label).best_params_


def _area(model: Any, features: np.ndarray, label: np.ndarray) -> float:
    """AUC of a model's scores, of several classes the mean of one against the rest."""
    forest = not hasattr(model, "decision_function")
    score = model.predict_proba(features) if forest else model.decision_function(features)
    if score.ndim == 1 or score.shape[1] == 2:
        return float(auc(label == 1, score if score.ndim == 1 else score[:, 1])[0])
    truth = one_vs_rest(label, score.shape[1])
    return float(np.mean([auc(truth[:, k], score[:, k])[0] for k in range(score.shape[1])]))
