"""Causal model of the head cohort: which bleeds expand, by how much, and the best possible forecast.

The model is ours; effects follow the direction, not the exact size, of published risk factors (onset to imaging,
anticoagulation and volume: Al-Shahi Salman et al., Lancet Neurol 2018). Volumes are in mL, t = hours from onset to the
baseline CT, c = anticoagulant, V0 = baseline IPH, V1 = follow-up IPH, U = a patient's independent uniform noise,
logN(m, s) = log-normal with median m and standard deviation s of the log. "in" truncates (t, V0) or clips (the others).

    t  ~ logN(4.5, 0.95) in [0.5, 24]     c ~ Bernoulli(0.20)          antiplatelet ~ Bernoulli(0.25)
    V0 ~ logN(14, 0.70) in [3, 70]        age ~ N(68, 12) in [25, 95]  systolic ~ N(170, 25) in [90, 245]
    GCS = round(14.5 - 2.2 ln(V0 / 6) + N(0, 1.8)) in [3, 15]

    P(expansion) = sigmoid(-2.80 - 2.1 ln(t / 4.5) + 2.2 c + 0.4 ln(V0 / 14) + E + B);  expansion = U1 < P
    expansion:     V1 = V0 (1 + g),  ln g ~ N(ln 0.42 - 0.4 ln(t / 4.5) + 0.5 c + G, 0.22), by the quantile U2,
                   g kept where g >= 0.33 or V1 - V0 >= 6 mL (the label's definition) and V1 <= 130 mL
    no expansion:  V1 = V0 (1 + h),  h ~ N(0, 0.047), by the quantile U3, |h| kept below 0.9 of the label's bound

h is the error of measuring a stable bleed twice: SD 4.67% between two scans of ten such bleeds by the same method
(BMC Med Imaging 2022, 22:12). Antiplatelet, age, GCS and systolic are nuisances: `do` on them changes nothing. GCS is a
child of V0 without children. The intraventricular volume is not drawn: it follows from the geometry (`hematoma.py`).

E, G and B are 0 unless the scan shows signs that act (`signs.py`). Without them, images say nothing about growth beyond
the volume.

Measured over 60,000 patients without signs (docs/figures_head_phantom.py): 19.9% expand, by a median of 73% or 11 mL;
the Bayes AUC is 0.878. The mean CRPS of the ideal forecast, `followup_volumes`, is 1.71 mL; the risk of expansion with
the growth of each group (`evaluation/regression/growth.py`), fitted to 400 patients, has 1.80, so a table says nearly
all that there is to know. Simple baselines have 2.59 (linear regression of log growth), 3.37 (no change) and 4.23 (mean
growth). With `published` signs 21.2% expand and the Bayes AUC is 0.894; over 1,500 patients the ideal forecast has
1.72, and 1.99 without the scan. Of the patients scanned before 2.5 h on anticoagulants 82% expand; of those scanned
after 8 h without, 1%.
"""

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from medzoo.datamodules.phantoms.head import signs

__all__ = [
    "CLINICAL",
    "NOISE",
    "Clinical",
    "do",
    "draw_clinical",
    "draw_noise",
    "expansion_probability",
    "followup_volumes",
    "is_expansion",
    "realised_volume",
]

Clinical = dict[str, np.ndarray]
"""A column (n,) for each name of `CLINICAL`, and with signs for each of `signs.SIGNS`, 0 or 1."""

CLINICAL = {
    "time_from_onset_to_CT": (0.5, 24.0),
    "IPH_baseline_ml": (3.0, 70.0),
    "Anticoagulant": (0, 1),
    "Antiplatelet": (0, 1),
    "Age": (25, 95),
    "GCS": (3, 15),
    "Systolic": (90, 245),
}
"""The seven variables in the order of the layout, with the ranges in which the model is valid."""

NOISE = ("expansion", "growth", "change")
"""A patient's exogenous noise U1, U2, U3: the same under every `do`."""

LARGEST_ML = 130.0
GROWTH_SD, CHANGE_SD = 0.22, 0.047


def draw_clinical(rng: np.random.Generator, n: int) -> Clinical:
    """Draw n patients: hours, mL, 0/1, 0/1, years, points, mmHg."""
    onset = _truncated_lognormal(rng.uniform(size=n), 4.5, 0.95, *CLINICAL["time_from_onset_to_CT"])
    volume = _truncated_lognormal(rng.uniform(size=n), 14, 0.70, *CLINICAL["IPH_baseline_ml"])
    columns = (
        onset.round(2),
        volume,
        (rng.uniform(size=n) < 0.20).astype(float),
        (rng.uniform(size=n) < 0.25).astype(float),
        np.clip(rng.normal(68, 12, n), *CLINICAL["Age"]).round(),
        np.clip(14.5 - 2.2 * np.log(volume / 6) + rng.normal(0, 1.8, n), *CLINICAL["GCS"]).round(),
        np.clip(rng.normal(170, 25, n), *CLINICAL["Systolic"]).round(),
    )
    return dict(zip(CLINICAL, columns, strict=True))


def draw_noise(rng: np.random.Generator, n: int | tuple[int, ...]) -> dict[str, np.ndarray]:
    """Exogenous noise of n patients: independent uniforms under the names of `NOISE`."""
    return {name: rng.uniform(size=n) for name in NOISE}


def do(clinical: Clinical, **values: float) -> Clinical:
    """The same patients with variables set by intervention.

    The other columns stay: no settable variable causes any of them except GCS, which itself has no effect.
    Setting a nuisance (Antiplatelet, Age, GCS, Systolic) changes no follow-up volume.

    Args:
        clinical: Columns (n,).
        **values: A number, or an array (n,), under a name of `CLINICAL`.

    Raises:
        ValueError: If a name is unknown, or a value is outside the range in which the model is valid.
    """
    changed = dict(clinical)
    for name, value in values.items():
        if name not in CLINICAL:
            raise ValueError(f"do({name}=...): no such variable; choose from {', '.join(CLINICAL)}")
        low, high = CLINICAL[name]
        if not np.all((np.asarray(value) >= low) & (np.asarray(value) <= high)):
            raise ValueError(f"do({name}={value}): outside {low} to {high}, where the causal model holds")
        changed[name] = np.broadcast_to(np.asarray(value, float), np.shape(clinical[name])).copy()
    return changed


def expansion_probability(clinical: Clinical, *, confounded: bool = False) -> np.ndarray:
    """P(expansion) of each patient (n,), the best score that any model can reach; signs count where they are given."""
    early = -np.log(clinical["time_from_onset_to_CT"] / 4.5)
    size = np.log(clinical["IPH_baseline_ml"] / 14)
    pressure = signs.PRESSURE * (clinical["Systolic"] - 170) if confounded else 0.0
    table = -2.80 + 2.1 * early + 2.2 * clinical["Anticoagulant"] + 0.4 * size
    return expit(table + signs.evidence(clinical) + pressure)


def is_expansion(baseline_ml: np.ndarray, followup_ml: np.ndarray) -> np.ndarray:
    """The classic label: at least 6 mL or 33% more IPH."""
    growth = np.asarray(followup_ml) - baseline_ml
    return (growth >= 6) | (growth >= 0.33 * np.asarray(baseline_ml))


def realised_volume(clinical: Clinical, noise: dict[str, np.ndarray], *, confounded: bool = False) -> np.ndarray:
    """Follow-up IPH in mL by the structural equations above, for patients (n,) and noise (n,) or (samples, n)."""
    volume = clinical["IPH_baseline_ml"]
    early = -np.log(clinical["time_from_onset_to_CT"] / 4.5)
    needed = np.minimum(0.33, 6 / volume)  # smallest relative growth that counts as expansion
    mean = np.log(0.42) + 0.4 * early + 0.5 * clinical["Anticoagulant"] + signs.growth(clinical)
    least, most = (np.log(needed) - mean) / GROWTH_SD, (np.log(LARGEST_ML / volume - 1) - mean) / GROWTH_SD
    growth = np.exp(mean + GROWTH_SD * _truncated_normal(noise["growth"], least, most))
    edge = 0.9 * needed / CHANGE_SD
    change = CHANGE_SD * _truncated_normal(noise["change"], -edge, edge)
    expands = noise["expansion"] < expansion_probability(clinical, confounded=confounded)
    return volume * (1 + np.where(expands, growth, change))


def followup_volumes(clinical: Clinical, n_samples: int, seed: int, *, confounded: bool = False) -> np.ndarray:
    """Samples of the follow-up IPH given the clinical row: the ideal forecaster.

    Args:
        clinical: Columns (n,), or (samples, n) from `signs_given`.
        n_samples: Samples for each patient.
        seed: Seed of the samples; the same seed gives the same noise for changed rows.
        confounded: Whether the pressure acts.

    Returns:
        Volumes in mL (n, n_samples).
    """
    noise = draw_noise(np.random.default_rng(seed), (n_samples, clinical["IPH_baseline_ml"].shape[-1]))
    return realised_volume(clinical, noise, confounded=confounded).T


def _truncated_normal(uniform: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Quantiles of the standard normal truncated to [low, high]."""
    below = norm.cdf(low)
    return np.clip(norm.ppf(below + uniform * (norm.cdf(high) - below)), low, high)


def _truncated_lognormal(uniform: np.ndarray, median: float, spread: float, low: float, high: float) -> np.ndarray:
    """Quantiles of a log-normal truncated to [low, high]; `spread` is the standard deviation of the log."""
    bounds = np.log(low / median) / spread, np.log(high / median) / spread
    return median * np.exp(spread * _truncated_normal(uniform, *bounds))
