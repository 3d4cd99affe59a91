"""Fitted comparators as plain arrays, which a checkpoint can hold without pickle or scikit-learn.

`models.fitted` predicts from these arrays as scikit-learn does from its objects; tests compare both.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

from medzoo.evaluation.regression.imputation import TrainingFiller
from medzoo.evaluation.regression.learners.comparators import Regression

if TYPE_CHECKING:  # an extra, which need not be installed
    from xgboost import XGBClassifier

__all__ = ["Arrays", "plain_filler", "plain_model", "plain_regression"]

Arrays = dict[str, np.ndarray]


def plain_filler(fill: object) -> Arrays:
    """Numbers of the chained regressions of a `TrainingFiller`; nothing for a function that fills no gaps."""
    if not isinstance(fill, TrainingFiller):
        return {}
    count = len(fill.names)
    return {
        "centre": fill.centre,
        "spread": fill.spread,
        "start": fill.start,
        "column": np.array([column for column, _, _ in fill.steps], np.int64),
        "weight": np.array([weight for _, weight, _ in fill.steps]).reshape(-1, count),
        "bias": np.array([bias for _, _, bias in fill.steps], float),
    }


def plain_regression(made: Regression) -> Arrays:
    """`intercept` and `coefficients` (K,) of a fitted regression."""
    return {"intercept": np.array(made.model.intercept), "coefficients": np.asarray(made.model.coefficients, float)}


def plain_model(model: object) -> Arrays:
    """Arrays of a fitted scikit-learn or XGBoost model; a pipeline adds its `centre` and `scale`.

    Raises:
        ValueError: If its kind has no plain form.
    """
    if isinstance(model, Pipeline):
        scaler = model.steps[0][1]
        return {"centre": scaler.mean_, "scale": scaler.scale_, **plain_model(model.steps[1][1])}
    kind = type(model).__name__
    if kind not in _READ:
        raise ValueError(f"{kind}: no plain form of this model is known")
    return _READ[kind](model)


def _forest(model: RandomForestClassifier) -> Arrays:
    return _averaged(model.estimators_)


def _tree(model: DecisionTreeClassifier) -> Arrays:
    """A forest of one tree."""
    return _averaged([model])


def _averaged(models: Sequence[DecisionTreeClassifier]) -> Arrays:
    """Trees whose leaves hold shares of the classes, to be averaged; they read single precision.

    Of two classes the share of the second is kept, (nodes,), else all shares, (nodes, K).
    """
    trees = []
    for one in models:
        tree, leaf = one.tree_, one.tree_.children_left < 0
        shares = tree.value[:, 0] / tree.value[:, 0].sum(1, keepdims=True) / len(models)
        share = shares[:, 1] if shares.shape[1] == 2 else shares
        trees.append((tree.feature, tree.threshold, tree.children_left, tree.children_right, leaf, share))
    return {**_joined(trees), "base": np.array(0.0), "logistic": np.array(False), "form": np.array(_SINGLE)}


def _boosted(model: HistGradientBoostingClassifier) -> Arrays:
    """Trees whose leaves add up to log odds."""
    trees = []
    for (one,) in model._predictors:  # the only place where scikit-learn keeps them
        nodes = one.nodes
        leaf = nodes["is_leaf"].astype(bool)
        trees.append(
            (nodes["feature_idx"], nodes["num_threshold"], nodes["left"], nodes["right"], leaf, nodes["value"])
        )
    base = np.array(float(np.ravel(model._baseline_prediction)[0]))
    return {**_joined(trees), "base": base, "logistic": np.array(True), "form": np.array(_DOUBLE)}


def _xgboost(model: "XGBClassifier") -> Arrays:
    """Trees of XGBoost, which go left below a threshold, all in single precision."""
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    trees = []
    for tree in learner["gradient_booster"]["model"]["trees"]:
        left, right = np.array(tree["left_children"]), np.array(tree["right_children"])
        values = np.array(tree["split_conditions"], np.float32)
        trees.append((np.array(tree["split_indices"]), values, left, right, left < 0, values))
    share = float(str(learner["learner_model_param"]["base_score"]).strip("[]"))
    return {
        **_joined(trees),
        "base": np.array(float(logit(share))),
        "logistic": np.array(True),
        "form": np.array(_SINGLE_BELOW),
    }


_DOUBLE, _SINGLE, _SINGLE_BELOW = 0, 1, 2
"""How a tree compares: in double precision, after rounding to single, or after rounding and strictly below."""


def _joined(trees: Sequence[tuple[Any, ...]]) -> Arrays:
    """Nodes of all trees in one table; a leaf is its own child."""
    start = np.cumsum([0, *(len(tree[0]) for tree in trees[:-1])])
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("feature", "threshold", "left", "right", "value")}
    for first, (feature, threshold, left, right, leaf, value) in zip(start, trees, strict=True):
        own = np.arange(len(leaf))
        found["feature"].append(np.where(leaf, 0, feature).astype(np.int64))
        found["threshold"].append(np.where(leaf, 0, threshold).astype(float))
        found["left"].append(first + np.where(leaf, own, left).astype(np.int64))
        found["right"].append(first + np.where(leaf, own, right).astype(np.int64))
        found["value"].append(np.where(leaf.reshape(-1, *(1,) * (np.ndim(value) - 1)), value, 0).astype(float))
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    return {**joined, "root": start.astype(np.int64)}


def _support_vectors(model: CalibratedClassifierCV) -> Arrays:
    """A machine with a Gaussian kernel, and Platt's two numbers."""
    machine, platt = model.calibrated_classifiers_[0].estimator, model.calibrated_classifiers_[0].calibrators[0]
    return {
        "vector": machine.support_vectors_,
        "weight": machine.dual_coef_[0],
        "bias": np.array(float(machine.intercept_[0])),
        "gamma": np.array(float(machine._gamma)),
        "platt": np.array([float(platt.a_), float(platt.b_)]),
    }


def _one_vs_rest(model: OneVsRestClassifier) -> Arrays:
    """A machine for each of K classes, on the union of their support vectors: weights (V, K), the others (K,)."""
    parts = [_support_vectors(one) for one in model.estimators_]
    places = [one.calibrated_classifiers_[0].estimator.support_ for one in model.estimators_]
    chosen = np.unique(np.concatenate(places))
    vector, weight = np.zeros((len(chosen), parts[0]["vector"].shape[1])), np.zeros((len(chosen), len(parts)))
    for k, (part, place) in enumerate(zip(parts, places, strict=True)):
        rows = np.searchsorted(chosen, place)
        vector[rows], weight[rows, k] = part["vector"], part["weight"]
    joined = {name: np.stack([part[name] for part in parts], -1) for name in ("bias", "platt")}
    return {"vector": vector, "weight": weight, "gamma": parts[0]["gamma"], **joined}


def _perceptron(model: MLPClassifier) -> Arrays:
    """One hidden layer of rectified units."""
    (first, second), (bias, last) = model.coefs_, model.intercepts_
    return {"first": first, "first_bias": bias, "second": second[:, 0], "second_bias": np.array(float(last[0]))}


_READ: Mapping[str, Callable[..., Arrays]] = {
    "RandomForestClassifier": _forest,
    "DecisionTreeClassifier": _tree,
    "HistGradientBoostingClassifier": _boosted,
    "XGBClassifier": _xgboost,
    "CalibratedClassifierCV": _support_vectors,
    "OneVsRestClassifier": _one_vs_rest,
    "MLPClassifier": _perceptron,
}
