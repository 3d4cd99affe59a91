"""Comparators of a nomogram: other models of the same predictors, and a table of all on the same cases."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from medzoo.evaluation.regression.imputation import PooledFit, fit_imputed, impute, training_filler
from medzoo.evaluation.regression.logistic import Linear, LogisticFit, fit_logistic, recentred
from medzoo.evaluation.scores.diagnostic import (
    calibration_line,
    delong,
    delong_test,
    mcnemar,
    net_benefit,
    p_text,
    rates,
)
from medzoo.evaluation.scores.intervals import interval_text

__all__ = [
    "Regression",
    "boosting",
    "calibrated_svm",
    "held_out",
    "learners",
    "model_rows",
    "random_forest",
    "regression",
]

Predict = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[np.ndarray, np.ndarray], Predict]
_RATES = ("accuracy", "sensitivity", "specificity")
_OF_PROBABILITIES = ("Brier", "calibration slope", "calibration intercept", "threshold", "net benefit")


def regression(names: Sequence[str], draws: int = 0, seed: int = 0) -> "Callable[[np.ndarray, np.ndarray], Regression]":
    """A logistic regression with probabilities of the right mean, and gaps filled from the training cases.

    Args:
        names: K predictors.
        draws: Number of imputations for the coefficients where values are missing; 0 allows no missing values.
        seed: Of the imputations.

    Returns:
        A function that fits x (N, K) and positive (N,).
    """

    def fitted(x: np.ndarray, positive: np.ndarray) -> "Regression":
        gaps = bool(np.isnan(x).any()) and draws > 0
        fill = training_filler(x, names) if draws > 0 else np.asarray
        fit: LogisticFit | PooledFit
        if gaps:
            fit = fit_imputed(impute(x, positive, names, draws=draws, seed=seed), positive, names)
        else:
            fit = fit_logistic(x, positive, names)
        return Regression(fit, recentred(fit, fill(x), positive), fill)

    return fitted


class Regression:
    """A fitted regression: `fit` with covariance and notes, its recentred `model`, and `fill` for gaps of new cases."""

    def __init__(self, fit: LogisticFit | PooledFit, model: Linear, fill: Predict) -> None:
        self.fit, self.model, self.fill = fit, model, fill

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(M,) probabilities of predictors (M, K), with gaps or without."""
        return self.model.predict(self.fill(x))


class Classifier(Protocol):
    """A scikit-learn classifier."""

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """(N, 2) probabilities."""


class _Learned:
    """A fitted learner: scikit-learn's `model`, and `fill` for gaps of new cases."""

    def __init__(self, model: Classifier, fill: Predict) -> None:
        self.model, self.fill = model, fill

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(self.fill(x))[:, 1]


def learners(names: Sequence[str], seed: int = 0) -> dict[str, Fit]:
    """Five learners by name; settings of forest, tree, SVM and XGBoost are those of the paper's code, the MLP's ours.

    Args:
        names: K predictors, for filling gaps.
        seed: Of forest, tree, boosting and network.
    """
    made: dict[str, Callable[[np.ndarray], Any]] = {
        "random forest": lambda _: random_forest(seed),
        "decision tree": lambda _: DecisionTreeClassifier(
            criterion="entropy", class_weight="balanced", random_state=seed
        ),
        "SVM": lambda positive: make_pipeline(
            StandardScaler(), calibrated_svm(int(min(positive.sum(), (~positive).sum())))
        ),
        **_boosting(seed),
        "MLP": lambda _: make_pipeline(
            StandardScaler(), MLPClassifier((16,), alpha=1.0, max_iter=2000, random_state=seed)
        ),
    }
    return {name: _learner(make, names) for name, make in made.items()}


def random_forest(seed: int = 0, *, trees: int = 200, **options: Any) -> RandomForestClassifier:
    """The forest of the paper's code; options are scikit-learn's."""
    return RandomForestClassifier(trees, criterion="entropy", class_weight="balanced", random_state=seed, **options)


def calibrated_svm(fewest: int, **options: Any) -> CalibratedClassifierCV:
    """An SVM with probabilities by Platt's scaling on held-out folds: five, or `fewest`, the cases of a class."""
    return CalibratedClassifierCV(SVC(class_weight="balanced", **options), ensemble=False, cv=min(5, fewest))


def boosting(names: Sequence[str], seed: int = 0) -> tuple[str, Fit]:
    """Name and learner of gradient boosting: XGBoost where the extra `xgboost` is installed, else scikit-learn's."""
    return next((name, _learner(make, names)) for name, make in _boosting(seed).items())


def held_out(fit: Fit, x: np.ndarray, positive: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(N,) probabilities of cases, each by a model fitted to the cases of all other folds."""
    prob = np.empty(len(x))
    for number in np.unique(fold):
        held = fold == number
        prob[held] = fit(x[~held], positive[~held])(x[held])
    return prob


def model_rows(
    positive: np.ndarray,
    probabilities: Mapping[str, np.ndarray],
    thresholds: Mapping[str, float],
    readers: Mapping[str, tuple[np.ndarray, np.ndarray]],
    reference: str,
) -> list[dict[str, Any]]:
    """A row for each model and reader, on the same cases, tested against one of them.

    Args:
        positive: (N,) bool.
        probabilities: (N,) by model.
        thresholds: By model, the probability from which a case is called positive, chosen on other cases.
        readers: Scores (N,) and calls (N,), NaN where a reader has not read a case; such cases are omitted from the
            reader's row and its tests.
        reference: Name of the model that all are tested against.

    Returns:
        `model`, `cases`, AUC with DeLong's 95% interval and p of the paired test, rates with Wilson's intervals,
        p of McNemar's test of the calls, Brier score, calibration slope and intercept, threshold and its net benefit
        (blank for a threshold of 1, where there is none).
    """
    best, calls = probabilities[reference], probabilities[reference] >= thresholds[reference]
    rows = []
    for name, prob in probabilities.items():
        row = _row(name, positive, prob, prob >= thresholds[name], best, calls, name == reference)
        line = calibration_line(positive, prob)
        numbers = [line["brier"], line["calibration_slope"], line["calibration_intercept"], thresholds[name]]
        last = thresholds[name] >= 1  # as of a fully grown tree: one wrong call would outweigh everything
        numbers.append(np.nan if last else net_benefit(positive, prob, thresholds[name])["net_benefit"])
        rows.append({**row, **dict(zip(_OF_PROBABILITIES, map(_shown, numbers), strict=True))})
    for name, (score, called) in readers.items():
        read = np.isfinite(score) & np.isfinite(called)
        if positive[read].any() and not positive[read].all():
            row = _row(
                f"reader, {name}", positive[read], score[read], called[read] == 1, best[read], calls[read], False
            )
            rows.append({**row, **dict.fromkeys(_OF_PROBABILITIES, "")})
    return rows


def _row(
    name: str,
    positive: np.ndarray,
    score: np.ndarray,
    called: np.ndarray,
    best: np.ndarray,
    calls: np.ndarray,
    is_reference: bool,
) -> dict[str, Any]:
    shares, area = rates(positive, called), delong(positive, score)
    row: dict[str, Any] = {"model": name, "cases": len(positive), "AUC (95% CI)": interval_text(area, "auc")}
    row["p (DeLong)"] = "" if is_reference else p_text(delong_test(positive, score, best)["p"])
    row |= {f"{rate} (95% CI)": interval_text(shares, rate) for rate in _RATES}
    row["p (McNemar)"] = "" if is_reference else p_text(mcnemar(called == positive, calls == positive))
    return row


def _boosting(seed: int) -> dict[str, Callable[[np.ndarray], Any]]:
    """XGBoost where the extra `xgboost` is installed, else scikit-learn's boosting under its own name."""
    if importlib.util.find_spec("xgboost"):
        from xgboost import XGBClassifier

        return {
            "XGBoost": lambda positive: XGBClassifier(
                n_estimators=200, scale_pos_weight=float((~positive).sum() / positive.sum()), random_state=seed
            )
        }
    small = {"learning_rate": 0.05, "max_leaf_nodes": 7, "min_samples_leaf": 5}
    return {
        "gradient boosting": lambda _: HistGradientBoostingClassifier(
            max_iter=200, class_weight="balanced", random_state=seed, **small
        )
    }


def _learner(make: Callable[[np.ndarray], Any], names: Sequence[str]) -> Fit:
    def fitted(x: np.ndarray, positive: np.ndarray) -> Predict:
        fill = training_filler(x, names)
        return _Learned(make(positive).fit(fill(x), positive), fill)

    return fitted


def _shown(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"
