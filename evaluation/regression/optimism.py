"""Optimism of a model on the cases of its own fit, by a bootstrap of the whole pipeline."""

from collections.abc import Callable
from typing import Any

import numpy as np

from medzoo.evaluation.scores.classification import auc
from medzoo.evaluation.scores.diagnostic import calibration_line
from medzoo.evaluation.scores.intervals import percentile_interval

__all__ = ["optimism_table"]

Predict = Callable[[np.ndarray], np.ndarray]
Fit = Callable[[np.ndarray], Predict]


def optimism_table(
    fit: Fit, positive: np.ndarray, *, cases: np.ndarray | None = None, resamples: int = 500, seed: int = 0
) -> list[dict[str, Any]]:
    """Harrell's correction (Harrell, Lee and Mark 1996): apparent value less the mean optimism over resamples.

    Each resample draws cases with replacement and fits the pipeline to them; its optimism is how much better that
    model does on the resample than on the original cases. This corrects for every choice made inside `fit`, such as
    scaling, imputation, selection and thresholds, but for none made before. The interval is
    the location-shifted one (Noma et al. 2021, doi:10.1002/sim.9148): percentiles of the apparent values in the
    resamples, less the mean optimism. The calibration line has none: a regression is always calibrated on the cases
    of its own fit, so those percentiles do not measure chance.

    Args:
        fit: Fits a model to rows, int (M,), which repeat a row as often as it was drawn, and returns a function
            from rows (L,) to probabilities (L,). If it splits its rows, it must keep equal rows together.
        positive: (N,) bool.
        cases: (N,) the case of each row; rows of a case are drawn together. By default each row is a case.
        resamples: Number of draws.
        seed: Of the draws.

    Returns:
        A row for each `measure` (`auc`, `brier`, `calibration_slope`, `calibration_intercept`) with `apparent`,
        `optimism`, `corrected`, its 95% interval `low` and `high`, the number of `resamples` in which it could be
        measured, and how many draws were `redrawn` because they held one class or `fit` raised a ValueError.

    Raises:
        ValueError: If `fit` refuses the original cases, or more draws than `resamples`.
    """
    positive = np.asarray(positive, bool)
    _, member = np.unique(np.arange(len(positive)) if cases is None else np.asarray(cases), return_inverse=True)
    rows_of = [np.flatnonzero(member == case) for case in range(member.max() + 1)]
    every = np.arange(len(positive))
    apparent = _measures(positive, fit(every)(every))
    rng = np.random.default_rng(seed)
    inside: list[np.ndarray] = []
    gained: list[np.ndarray] = []
    redrawn, reason = 0, ""
    while len(inside) < resamples:
        if redrawn > resamples:
            raise ValueError(f"{redrawn} of {redrawn + len(inside)} resamples could not be fitted, the last: {reason}")
        drawn = np.concatenate([rows_of[case] for case in rng.integers(0, len(rows_of), len(rows_of))])
        if positive[drawn].all() or not positive[drawn].any():
            redrawn, reason = redrawn + 1, "one class only"
            continue
        try:
            predict = fit(drawn)
        except ValueError as error:
            redrawn, reason = redrawn + 1, str(error)
            continue
        inside.append(_measures(positive[drawn], predict(drawn)))
        gained.append(inside[-1] - _measures(positive, predict(every)))
    return _rows(apparent, np.array(inside), np.array(gained), redrawn)


_MEASURES = ("auc", "brier", "calibration_slope", "calibration_intercept")


def _measures(positive: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """The four values; without a calibration line where the probabilities separate the classes."""
    area = float(auc(positive, prob)[0])
    line = calibration_line(positive, prob)
    measured = [area, *(line[name] for name in _MEASURES[1:])]
    return np.array([*measured[:2], np.nan, np.nan] if area in (0, 1) else measured)


def _rows(apparent: np.ndarray, inside: np.ndarray, gained: np.ndarray, redrawn: int) -> list[dict[str, Any]]:
    rows = []
    for k, name in enumerate(_MEASURES):
        known = np.isfinite(gained[:, k])
        excess = float(gained[known, k].mean()) if known.any() else float("nan")
        spread = known.any() and not name.startswith("calibration")
        low, high = percentile_interval(inside[known, k]) if spread else (float("nan"), float("nan"))
        numbers = {
            "apparent": float(apparent[k]),
            "optimism": excess,
            "corrected": float(apparent[k]) - excess,
            "low": low - excess,
            "high": high - excess,
        }
        rows.append({"measure": name, **numbers, "resamples": int(known.sum()), "redrawn": redrawn})
    return rows
