"""Baselines of follow-up volumes that a forecast must beat: no change, mean growth, regressions on clinical variables.

All are fitted on training patients only, and are scored by the same numbers as a network's samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from medzoo.evaluation.measures.expansion import ExpansionRule
from medzoo.evaluation.regression.growth import fit_growth, growth_of, log_growth, unlogged
from medzoo.evaluation.scores.forecasts import crps, forecast_metrics
from medzoo.evaluation.scores.intervals import percentile_interval

__all__ = ["Forecast", "baseline_forecasts", "comparison_table", "expansion_of", "fit_baselines", "signs_forecast"]


@dataclass(frozen=True)
class Forecast:
    """Forecast of the follow-up volumes of B patients.

    Attributes:
        samples: (B, N) volumes in mL.
        weights: (B, N), equal by default.
        score: (B,) score of expansion; by default the share of samples that meet the criterion.
    """

    samples: np.ndarray
    weights: np.ndarray | None = None
    score: np.ndarray | None = None


def fit_baselines(clinical: np.ndarray, baseline_ml: np.ndarray, followup_ml: np.ndarray) -> dict[str, np.ndarray]:
    """Growth of the mean volume, linear regression of log(follow-up / baseline), and risk with growth by group.

    The regression's residuals are out of fold: those of the fit itself are too small on small training sets.

    Args:
        clinical: (M, K) scaled to [0, 1], NaN where unknown: the mean, with an indicator that it was missing.
        baseline_ml: (M,) volumes in mL.
        followup_ml: (M,) volumes in mL.

    Returns:
        `growth` (); of the regression `fill` (K,) for unknown values, `weight` (K,), `unknown` (K,) which an unknown
        value adds, `bias` (), and `residuals` (M,); what `fit_growth` returns, if some patients expand and some do not.
    """
    model = make_pipeline(SimpleImputer(add_indicator=True, keep_empty_features=True), LinearRegression())
    growth = log_growth(baseline_ml, followup_ml)
    folds = KFold(min(10, len(growth)), shuffle=True, random_state=0)
    residuals = growth - cross_val_predict(model, clinical, growth, cv=folds)
    imputer, linear = (step for _, step in model.fit(clinical, growth).steps)
    variables = clinical.shape[1]
    unknown = np.zeros(variables)
    unknown[imputer.indicator_.features_] = linear.coef_[variables:]
    expanded = ExpansionRule()(baseline_ml, followup_ml)
    by_group = fit_growth(clinical, growth, expanded) if 0 < expanded.sum() < len(expanded) else {}
    return {
        **by_group,
        "growth": np.asarray(np.mean(followup_ml) / np.mean(baseline_ml)),
        "fill": imputer.statistics_,
        "weight": linear.coef_[:variables],
        "unknown": unknown,
        "bias": np.asarray(linear.intercept_),
        "residuals": residuals,
    }


def baseline_forecasts(
    numbers: Mapping[str, np.ndarray], clinical: np.ndarray, baseline_ml: np.ndarray
) -> dict[str, Forecast]:
    """Baselines by name.

    `no change` forecasts the baseline volume, and the same score of expansion for everybody. `mean growth` multiplies
    the baseline volume by the growth of the training patients' mean volume; the score of expansion is the growth in mL.
    `clinical regression` has N = M samples, each with one residual of the training patients. `risk and mean growth` has
    the growth of each training patient, weighted by the risk of expansion; in `risk and growth regression` the growth
    depends on the clinical variables too. Both are left out where the training patients gave no risk.

    Args:
        numbers: From `fit_baselines`.
        clinical: (B, K) of the patients to forecast, scaled to [0, 1], NaN where unknown.
        baseline_ml: (B,) volumes in mL.
    """
    baseline_ml = np.asarray(baseline_ml, dtype=float)
    growth, missing = float(numbers["growth"]), np.isnan(clinical)
    predicted = np.where(missing, numbers["fill"], clinical) @ numbers["weight"] + missing @ numbers["unknown"]
    linear = (predicted + numbers["bias"])[:, None] + numbers["residuals"]
    by_group = {}
    if len(numbers.get("risk_weight", ())):
        by_group["risk and mean growth"] = _by_group(numbers, clinical, baseline_ml, regression=False)
        by_group["risk and growth regression"] = _by_group(numbers, clinical, baseline_ml, regression=True)
    return {
        "no change": Forecast(baseline_ml[:, None], score=np.zeros(len(baseline_ml))),
        "mean growth": Forecast(growth * baseline_ml[:, None], score=(growth - 1) * baseline_ml),
        "clinical regression": Forecast(unlogged(baseline_ml[:, None], linear)),
        **by_group,
    }


def signs_forecast(numbers: Mapping[str, np.ndarray], features: np.ndarray, baseline_ml: np.ndarray) -> Forecast:
    """The same risk and growth regression given the signs of the scan too, without any network.

    Args:
        numbers: From `fit_growth` with these features.
        features: (B, K + S) clinical values and signs, NaN where unknown.
        baseline_ml: (B,) volumes in mL.
    """
    return _by_group(numbers, features, np.asarray(baseline_ml, dtype=float), regression=True)


def _by_group(
    numbers: Mapping[str, np.ndarray], features: np.ndarray, baseline_ml: np.ndarray, *, regression: bool
) -> Forecast:
    growth, weights = growth_of(numbers, features, regression=regression)
    return Forecast(unlogged(baseline_ml[:, None], growth), weights)


def expansion_of(rows: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which patients (N,) expanded by 6 mL or 33%, given their `baseline_ml` and `followup_ml`: zeros and ones."""
    return ExpansionRule()(rows["baseline_ml"], rows["followup_ml"]).astype(int)


def comparison_table(
    forecasts: Mapping[str, Forecast],
    baselines: Mapping[str, Forecast],
    truth: np.ndarray,
    baseline_ml: np.ndarray,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """One row for each forecast and baseline, in the order given, all on the same patients.

    Args:
        forecasts: Forecasts to compare with the baselines: ours and, where it is known, the causal model's.
        baselines: From `baseline_forecasts`.
        truth: (B,) real follow-up volumes in mL.
        baseline_ml: (B,) baseline volumes in mL.
        resamples: Bootstrap draws behind the intervals, which draw the same patients for every row.
        seed: Seed of the draws.

    Returns:
        Rows with `name`, `baseline` (whether it is one), the numbers of `forecast_metrics`, and `skill` over the
        best baseline, 1 - CRPS / its CRPS (0.2 is 20% better), with 95% bounds `skill_low` and `skill_high`.
    """
    best = min((crps(each.samples, truth, each.weights) for each in baselines.values()), key=np.mean)
    rows = []
    for name, each in {**forecasts, **baselines}.items():
        numbers = forecast_metrics(
            each.samples, truth, baseline_ml, each.weights, score=each.score, resamples=resamples, seed=seed
        )
        skill = _skill(crps(each.samples, truth, each.weights), best, resamples, seed)
        rows.append({"name": name, "baseline": name in baselines, **numbers, **skill})
    return rows


def _skill(scores: np.ndarray, reference: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    draws = np.random.default_rng(seed).integers(0, len(scores), (resamples, len(scores)))
    with np.errstate(invalid="ignore", divide="ignore"):
        skills = 1 - scores[draws].mean(1) / reference[draws].mean(1)
        skill = 1 - scores.mean() / reference.mean()
    low, high = percentile_interval(skills)
    return {"skill": float(skill), "skill_low": low, "skill_high": high}
