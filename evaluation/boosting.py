"""Gradient boosting of a table by XGBoost (Chen and Guestrin 2016, arXiv:1603.02754), where it is installed."""

import numpy as np

__all__ = ["boosted_prob"]


def boosted_prob(
    rows: np.ndarray, label: np.ndarray, others: np.ndarray, *, num_classes: int, seed: int = 0
) -> np.ndarray:
    """Fit to some patients, and say how probable each class is for others.

    Shallow trees and a small rate, for tables of some hundred rows. Unknown values (NaN) go down a branch of their own.

    Args:
        rows: (N, F).
        label: (N,) class indices.
        others: (M, F).
        num_classes: K.
        seed: Of the rows and columns that each tree sees.

    Returns:
        (M, K) probabilities.

    Raises:
        ImportError: If XGBoost is not installed.
    """
    try:
        import xgboost
    except ImportError as error:
        raise ImportError("XGBoost is not installed: pip install -e '.[boosting]'") from error
    booster = xgboost.XGBClassifier(
        n_estimators=200,
        max_depth=3,
        learning_rate=0.05,
        subsample=0.8,
        colsample_bytree=0.8,
        min_child_weight=2,
        reg_lambda=2.0,
        n_jobs=1,
        random_state=seed,
    )
    prob = booster.fit(rows, label).predict_proba(others)
    full = np.zeros((len(others), num_classes))
    full[:, booster.classes_] = prob
    return full
