"""Signs of expansion on the scan: how often, what they say, and how they look.

- `mottled`: a bleed is mottled with the probability `MOTTLED`, given the outcome that the patient has without any `do`.
  Mottling is a marker of expansion, not a cause. On its own it has an AUC of 0.775.
- `published`: the four signs of `SIGNS`, independent of each other and of the table, act. In the equations of
  `causal.py`, E is the sum of ln(odds ratio) (S - share), and G the sum of 0.2 (S - share). The odds ratios are
  published. The shares are about those of the signs' sensitivities and specificities (Morotti et al. 2021, Int J
  Stroke, doi:10.1177/17474930211061639; Du et al. 2014, PLoS ONE 9:e115777). The effect on the size of the growth is
  ours.
- `confounded`: the same signs, and doctors who see them lower the blood pressure, systolic ~ N(170 - 15 E, 20), which
  acts, B = 0.03 (systolic - 170). A table without the scan sees endangered patients with low pressure, and so
  underestimates what lowering the pressure does.

How they look (`density`, `Bleed.level`), with R the radius of a ball of the bleed's volume: a spot is a bright ball of
4 mm, as contrast agent leaks on CT angiography; in a blend one side of the bleed is 20 HU less dense, with a sharp
border; a swirl is a dark ball of 0.45 R; an irregular bleed has dents twice as deep. The scan is otherwise a plain CT:
real scans do not show a spot sign and the other three at once.
"""

import numpy as np
from scipy.stats import norm

__all__ = [
    "MOTTLED",
    "PRESSURE",
    "SIGNS",
    "Columns",
    "density",
    "draw_signs",
    "evidence",
    "growth",
    "signs_given",
    "treat",
]

Columns = dict[str, np.ndarray]
"""A column (n,) for each clinical variable, and for each of `SIGNS` 0 or 1."""

MOTTLED = {True: 0.70, False: 0.15}
"""Probability that a bleed is mottled, given whether it will expand."""

SIGNS = {"spot": (0.20, 4.46), "blend": (0.15, 3.49), "swirl": (0.25, 3.33), "irregular": (0.50, 2.01)}
"""Share of bleeds with a sign, and its odds ratio for expansion: of the spot sign from Al-Shahi Salman et al. 2018
(Lancet Neurol 17:885), of the others from the meta-analysis of Morotti et al. 2020 (Neurology 95:632)."""

PRESSURE = 0.03  # log odds of expansion per mmHg
_GROWTH = 0.2  # of ln g, for each sign
_LOWERED, _PRESSURE_SD, _RANGE = 15.0, 20.0, (90, 245)  # mmHg per unit of E, mmHg, mmHg


def draw_signs(rng: np.random.Generator, n: int) -> Columns:
    """Draw the published signs of n patients."""
    return {name: (rng.uniform(size=n) < share).astype(float) for name, (share, _) in SIGNS.items()}


def evidence(columns: Columns) -> np.ndarray:
    """The term E (n,): what the signs add to the log odds of expansion; 0 where the columns have no signs."""
    return _sum(columns, {name: np.log(ratio) for name, (_, ratio) in SIGNS.items()})


def growth(columns: Columns) -> np.ndarray:
    """The term G (n,): what the signs add to the logarithm of an expanding bleed's growth."""
    return _sum(columns, dict.fromkeys(SIGNS, _GROWTH))


def _sum(columns: Columns, weights: dict[str, float]) -> np.ndarray:
    terms = [weights[name] * (columns[name] - share) for name, (share, _) in SIGNS.items() if name in columns]
    return np.sum(terms, axis=0)


def treat(columns: Columns, rng: np.random.Generator) -> Columns:
    """The patients with the systolic pressure to which doctors lower it who see the signs."""
    pressure = rng.normal(170 - _LOWERED * evidence(columns), _PRESSURE_SD)
    return {**columns, "Systolic": np.clip(pressure, *_RANGE).round()}


def signs_given(columns: Columns, samples: int, *, confounded: bool, seed: int = 0) -> Columns:
    """What a table knows of the signs: columns (samples, n) with signs drawn given the clinical variables.

    A low pressure tells of signs if doctors lower it for them; otherwise the table says nothing of them.
    """
    patterns = np.stack(np.meshgrid(*[(0.0, 1.0)] * len(SIGNS), indexing="ij"), -1).reshape(-1, len(SIGNS))
    shares = np.array([share for share, _ in SIGNS.values()])
    chance = np.prod(np.where(patterns == 1, shares, 1 - shares), axis=1)[:, None]
    pressure = columns["Systolic"]
    if confounded:
        lowered = 170 - _LOWERED * evidence(dict(zip(SIGNS, patterns.T, strict=True)))
        chance = chance * norm.pdf(pressure, lowered[:, None], _PRESSURE_SD)
    steps = np.cumsum(np.broadcast_to(chance, (len(patterns), len(pressure))), axis=0)
    drawn = np.random.default_rng((seed, 1)).uniform(size=(samples, 1, len(pressure)))
    chosen = patterns[(drawn > steps[:-1] / steps[-1]).sum(1)]
    whole = {name: np.broadcast_to(column, chosen.shape[:2]) for name, column in columns.items()}
    return whole | dict(zip(SIGNS, np.moveaxis(chosen, -1, 0), strict=True))


def density(offset: np.ndarray, radius: float, shown: frozenset[str]) -> np.ndarray:
    """HU that the signs add to blood.

    Args:
        offset: Points (3, n) from the bleed's centre in mm, along the axes of the bleed.
        radius: R in mm.
        shown: Names of `SIGNS`.
    """
    hu = np.zeros(offset.shape[1], np.float32)
    if "blend" in shown:
        hu -= 20 * (offset[1] + 0.4 * offset[0] > 0.15 * radius)
    for name, place, size, change in (
        ("swirl", (0.2, -0.2, 0.1), 0.45 * radius, -28),
        ("spot", (-0.4, -0.35, 0), 4, 50),
    ):
        if name in shown:
            middle = radius * np.array(place, np.float32)[:, None]
            hu = np.where(np.square(offset - middle).sum(0) < size**2, change, hu)
    return hu
