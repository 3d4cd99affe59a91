"""Two small data sets whose answers are known, and one cohort whose coefficients are."""

import numpy as np

SEPARATED = np.array([-3, -2, -1.5, -1, 1, 1.5, 2, 3])[:, None], np.arange(8) > 3


def overlapping():
    """24 cases with 11 positive ones and two predictors; logistic regression of them is finite."""
    i = np.arange(24)
    first, second = ((7 * i % 24) - 11.5) / 6, ((5 * i + 3) % 24 - 11.5) / 6
    return np.stack([first, second], 1), first + 1.5 * np.sin(1.7 * i) > 0.4


def cohort(cases=400, seed=0):
    """Three predictors in units of very different size, the third without effect."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(cases, 3)) * [3, 200, 0.05] + [30, 900, 0.6]
    linear = -0.5 + 0.4 * (x[:, 0] - 30) - 0.005 * (x[:, 1] - 900)
    return x, rng.random(cases) < 1 / (1 + np.exp(-linear)), ("age", "area", "ratio")
