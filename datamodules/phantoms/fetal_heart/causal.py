"""Causal model of hypoplastic left heart syndrome (HLHS): a logistic model of the heart, and simulated readers.

The left side of a heart has a smallness z in [0, 1]: near 0 in most hearts, anywhere up to 1 in some, so that there is
a grey zone between normal and hypoplastic. With s = 1 + 0.05 (week - 24), chambers are ellipses with the following axes
in mm, each multiplied by a factor exp(N(0, 0.06)):

    LV 8.5 s (1 - 0.50 z) x 14.0 s (1 - 0.45 z)      RV 9.0 s (1 + 0.10 z) x 14.0 s
    LA 8.0 s (1 - 0.35 z) x  7.5 s (1 - 0.30 z)      RA 8.5 s (1 + 0.10 z) x  8.0 s

The lining of the left ventricle becomes brighter and thicker with fibroelastosis e, which is uniform on [0, 1] and
independent of size: the only sign that images show and outlines do not. With LV_diameter in mm,

    logit P(HLHS) = 9 - LV_diameter - 6 LA_RA_area_ratio - 9 LV_RV_area_ratio + 8 e      (COEFFICIENTS)

Age and gestational week have no effect of their own. A cohort samples hearts until it has the required number of each
class. As in any case-control study, this changes only the intercept. A reader sees the logit (without the shift from
sampling) with normal noise of 3.0, 1.8 or 0.8 for 3, 6 or 10 years of experience, converts it to a rating from 1 to 5
with cuts at -3, -1, 1 and 3, and calls HLHS if it is above 0.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from medzoo.evaluation.measures.morphology import CHAMBERS

__all__ = ["COEFFICIENTS", "INTERCEPT", "READERS", "Hearts", "draw_hearts", "read_by"]

INTERCEPT = 9.0
COEFFICIENTS = {"LV_diameter": -1.0, "LA_RA_area_ratio": -6.0, "LV_RV_area_ratio": -9.0, "fibroelastosis": 8.0}
READERS = {"3 years": 3.0, "6 years": 1.8, "10 years": 0.8}
_AXES = {
    "LV": (8.5, -0.5, 14.0, -0.45),
    "RV": (9.0, 0.1, 14.0, 0.0),
    "LA": (8.0, -0.35, 7.5, -0.3),
    "RA": (8.5, 0.1, 8.0, 0.0),
}
_CUTS = (-3.0, -1.0, 1.0, 3.0)


@dataclass(frozen=True)
class Hearts:
    """N hearts.

    Attributes:
        age: (N,) age of the mother in years.
        week: (N,) gestational week.
        axes: By chamber (N, 2), full axes in mm: across the heart and along it.
        fibroelastosis: (N,) in [0, 1].
        positive: (N,) bool, HLHS.
    """

    age: np.ndarray
    week: np.ndarray
    axes: dict[str, np.ndarray]
    fibroelastosis: np.ndarray
    positive: np.ndarray

    @property
    def predictors(self) -> dict[str, np.ndarray]:
        """(N,) values of each predictor in `COEFFICIENTS`, exact for the ellipses."""
        area = {name: axes.prod(1) for name, axes in self.axes.items()}
        return {
            "LV_diameter": self.axes["LV"].min(1),
            "LA_RA_area_ratio": area["LA"] / area["RA"],
            "LV_RV_area_ratio": area["LV"] / area["RV"],
            "fibroelastosis": self.fibroelastosis,
        }

    @property
    def logit(self) -> np.ndarray:
        """(N,) logit of the probability of HLHS in the whole population."""
        return INTERCEPT + np.stack([*self.predictors.values()], axis=1) @ [*COEFFICIENTS.values()]

    def __getitem__(self, rows: np.ndarray) -> "Hearts":
        axes = {name: each[rows] for name, each in self.axes.items()}
        return Hearts(self.age[rows], self.week[rows], axes, self.fibroelastosis[rows], self.positive[rows])


def draw_hearts(normal: int, hypoplastic: int, *, seed: int = 0) -> Hearts:
    """Draw hearts of both classes in random order; the same seed gives the same hearts.

    Args:
        normal: Number of hearts without HLHS.
        hypoplastic: Number of hearts with HLHS.
        seed: Seed of the draws.

    Raises:
        ValueError: If a number is below 1.
    """
    if min(normal, hypoplastic) < 1:
        raise ValueError(f"{normal} normal and {hypoplastic} hypoplastic hearts: both classes need one")
    rng = np.random.default_rng(seed)
    several = _population(20 * (normal + hypoplastic), rng)
    rows = [
        np.flatnonzero(several.positive == value)[:count] for value, count in ((False, normal), (True, hypoplastic))
    ]
    return several[rng.permutation(np.concatenate(rows))]


def read_by(hearts: Hearts, *, seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Ratings (N,) from 1 to 5 and calls (N,) bool of each reader."""
    rng = np.random.default_rng((seed, 1))
    readings = {}
    for name, noise in READERS.items():
        seen = hearts.logit + rng.normal(0, noise, len(hearts.week))
        readings[name] = 1 + np.digitize(seen, _CUTS), seen > 0
    return readings


def _population(count: int, rng: np.random.Generator) -> Hearts:
    small = np.where(rng.uniform(size=count) < 0.3, rng.beta(5, 3, count), rng.beta(1.5, 6, count))
    week = np.clip(rng.normal(24.5, 2.5, count), 18, 32)
    growth = 1 + 0.05 * (week - 24)
    axes = {}
    for name in CHAMBERS:
        across, less_across, along, less_along = _AXES[name]
        ideal = np.stack([across * (1 + less_across * small), along * (1 + less_along * small)], axis=1)
        axes[name] = ideal * growth[:, None] * np.exp(rng.normal(0, 0.06, (count, 2)))
    age = np.clip(rng.normal(29, 4.5, count), 18, 44)
    hearts = Hearts(age, week, axes, rng.uniform(size=count), np.zeros(count, bool))
    positive = rng.uniform(size=count) < expit(hearts.logit)
    return Hearts(age, week, axes, hearts.fibroelastosis, positive)
