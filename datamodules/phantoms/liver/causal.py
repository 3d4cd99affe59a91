"""Causal model of the liver cohort: who has a carcinoma, what each modality shows, and the best possible scores.

The model is ours; the directions of effects, not their sizes, follow the literature. y = hepatocellular carcinoma (1)
or a benign lesion (0), v = viral (1) or metabolic (0) liver disease; both are fair coin flips and independent. A person
has one finding x for each modality:

    x_m = (2 y - 1) d_m(v) / 2 + N(0, 1)

| modality | d_m(viral) | d_m(metabolic) | how x appears in the files |
|---|---|---|---|
| `ct` | 1.10 | 1.10 | arterial enhancement of all lesions over the liver, 26 + 22 x HU |
| `mr` | 0.95 | 0.95 | T2 of lesions relative to the liver, and nodularity of the liver on T1 and T2 |
| `histology` | 1.70 | -0.20 | number and darkness of the nuclei in tumour tiles |
| `clinical` | 0.74 | 0.74 | log AFP (up), age (up), platelets and albumin (down), each with half of it |
| `genomics` | -0.20 | 1.70 | mean log2 expression of the 12 genes of proliferation |

The table is for an `interaction` of 1. In tiles and genes d is 0.75 + 0.95 `interaction` in the disease that they tell
most of, and 0.75 - 0.95 `interaction` in the other. So 0 means that all modalities are independent given y, and the sum
of their evidence is the best score; at 2 (2.65 and -1.15) a tumour looks opposite in the two diseases. Areas under the
ROC curve in 100,000 people with nothing missing: of the best score, of the sum of the modalities' true evidence, and of
the best sum of functions of single modalities (splines, fitted to other 100,000):

| `interaction` | best score | sum of the evidence | best sum |
|---|---|---|---|
| 0 | 0.917 | 0.917 | 0.917 |
| 1 | 0.954 | 0.916 | 0.917 |
| 2 | 0.991 | 0.910 | 0.917 |

The underlying disease v is visible on CT (a metabolic liver is fat: 42 HU instead of 62), on MR (T1 is bright), and in
the column `viral_hepatitis`, but not in tiles or genes. So the best interpretation of tiles and genes depends on
another modality, and sums of single-modality scores are not optimal. Size, position and number of lesions, anatomy, the
other four pathways and the other columns are nuisances; BMI and diabetes depend on v.

Given v, the log-odds of y from the modalities S are the sum over S of d_m(v) x_m. If S does not show v, the two values
of v are weighted by their probability given S (`log_odds`). A missing cell of the table removes its part of x. Cells
are missing at random given age: more often in older people. The hazard of death after diagnosis is Weibull (shape 1.2):

    log hazard = 0.45 x_ct + 0.25 x_mr + 0.40 x_histology + 0.35 x_clinical + 0.40 x_genomics

with a median of 44 months at 0, censored by follow-up, uniform in 6 to 84 months. The expected log hazard given S
(`risk`) is the best score of survival.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = [
    "EFFECTS",
    "HAZARD",
    "MODALITIES",
    "SHARES",
    "Effects",
    "People",
    "draw_people",
    "effects_of",
    "log_odds",
    "risk",
]

MODALITIES = ("ct", "mr", "histology", "clinical", "genomics")

Effects = Mapping[str, tuple[float, float]]
"""By modality: distance d between the means of y = 1 and y = 0, in standard deviations, for metabolic and for viral
disease."""


def effects_of(interaction: float) -> Effects:
    """The effects at a strength of interaction, from 0."""
    more, less = (round(0.75 + sign * 0.95 * interaction, 6) for sign in (1, -1))
    shared = {"ct": (1.10, 1.10), "mr": (0.95, 0.95), "clinical": (0.74, 0.74)}
    found = {**shared, "histology": (less, more), "genomics": (more, less)}
    return {name: found[name] for name in MODALITIES}


EFFECTS = effects_of(1.0)

SHOW_DISEASE = ("ct", "mr", "clinical")
"""Modalities that show v."""

HAZARD = {"ct": 0.45, "mr": 0.25, "histology": 0.40, "clinical": 0.35, "genomics": 0.40}

SHARES = ("afp_ng_ml", "age_years", "platelets_g_l", "albumin_g_dl")
"""Columns that carry x_clinical in equal shares: x_clinical is their sum / 2."""

SHAPE, MEDIAN_MONTHS, FOLLOWED_MONTHS = 1.2, 44.0, (6.0, 84.0)


@dataclass(frozen=True)
class People:
    """N people.

    Attributes:
        cancer: (N,) bool, y.
        viral: (N,) bool, v.
        findings: By modality (N,), x.
        columns: (N, 4) findings of the columns `SHARES`, up meaning cancer.
        months: (N,) until death or the end of follow-up.
        died: (N,) bool.
    """

    cancer: np.ndarray
    viral: np.ndarray
    findings: dict[str, np.ndarray]
    columns: np.ndarray
    months: np.ndarray
    died: np.ndarray


def draw_people(rng: np.random.Generator, n: int, effects: Effects = EFFECTS) -> People:
    """Draw n people from the model above."""
    cancer, viral = rng.uniform(size=n) < 0.5, rng.uniform(size=n) < 0.5
    sign = 2.0 * cancer - 1
    findings = {
        name: sign * np.asarray(effect)[viral.astype(int)] / 2 + rng.normal(size=n) for name, effect in effects.items()
    }
    spread = rng.normal(size=(n, len(SHARES)))
    # Four columns whose sum / 2 is x_clinical; their remaining variation is noise.
    columns = spread - spread.mean(1, keepdims=True) + findings["clinical"][:, None] / 2
    hazard = sum(HAZARD[name] * x for name, x in findings.items())
    scale = MEDIAN_MONTHS / np.log(2) ** (1 / SHAPE) * np.exp(-hazard / SHAPE)
    death = scale * rng.exponential(size=n) ** (1 / SHAPE)
    end = rng.uniform(*FOLLOWED_MONTHS, size=n)
    return People(cancer, viral, findings, columns, np.minimum(death, end), death <= end)


def log_odds(
    viral: np.ndarray, findings: Mapping[str, np.ndarray], seen: Collection[str], effects: Effects = EFFECTS
) -> np.ndarray:
    """Log-odds of cancer given the modalities `seen`: no other score of them has a larger area under the ROC curve.

    Args:
        viral: (N,) bool; used only if a modality in `seen` shows it.
        findings: By modality (N,).
        seen: Names of the available modalities.
        effects: Those that the people were drawn with.

    Returns:
        (N,), 0 if no modality is available.
    """
    joint = _joint(viral, findings, seen, effects)
    return np.logaddexp(*joint[1]) - np.logaddexp(*joint[0])


def risk(
    viral: np.ndarray, findings: Mapping[str, np.ndarray], seen: Collection[str], effects: Effects = EFFECTS
) -> np.ndarray:
    """Expected log hazard of death given the modalities `seen` (N,), up to a constant; arguments as for `log_odds`."""
    joint = _joint(viral, findings, seen, effects)
    weights = np.exp(joint - np.logaddexp.reduce(joint, axis=(0, 1)))
    expected = np.zeros(len(viral))
    for name, slope in HAZARD.items():
        if name in seen:
            expected += slope * findings[name]
        else:
            means = np.array([[sign * d / 2 for d in effects[name]] for sign in (-1, 1)])
            expected += slope * (weights * means[..., None]).sum((0, 1))
    return expected


def _joint(
    viral: np.ndarray, findings: Mapping[str, np.ndarray], seen: Collection[str], effects: Effects
) -> np.ndarray:
    """(2, 2, N) log p(x, y, v) up to a constant, by y and v."""
    joint = np.zeros((2, 2, len(viral)))
    for y in (0, 1):
        for v in (0, 1):
            for name in seen:
                joint[y, v] -= (findings[name] - (2 * y - 1) * effects[name][v] / 2) ** 2 / 2
            if set(seen) & set(SHOW_DISEASE):
                joint[y, v] = np.where(np.asarray(viral, int) == v, joint[y, v], -np.inf)
    return joint
