"""Development and test of a nomogram of measured predictors, with or without an image score.

`develop` chooses everything (coefficients, thresholds, imputations) on development cases. `judge` tests fixed models
and thresholds on other cases, of a held-out split or another hospital.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medzoo.evaluation.nomogram.scale import Nomogram, nomogram_of
from medzoo.evaluation.regression.imputation import PooledFit, pooled_table
from medzoo.evaluation.regression.learners.comparators import held_out, learners, regression
from medzoo.evaluation.regression.logistic import Linear
from medzoo.evaluation.regression.odds import multivariate_table, univariate_table
from medzoo.evaluation.regression.optimism import optimism_table
from medzoo.evaluation.regression.predictors import events_note, polarity_note
from medzoo.evaluation.scores.diagnostic import (
    calibration_intervals,
    calibration_line,
    delong,
    delong_test,
    net_benefit,
    p_text,
    rates,
    youden_threshold,
)

__all__ = [
    "CLINICAL",
    "NOMOGRAM",
    "SCORE",
    "SCORE_ALONE",
    "Development",
    "Part",
    "aggregated",
    "develop",
    "equation",
    "judge",
    "odds_rows",
    "optimism_rows",
    "validation_rows",
]

NOMOGRAM, CLINICAL, SCORE_ALONE = "nomogram", "clinical regression", "image score"
SCORE = "image_score"


@dataclass(frozen=True)
class Part:
    """Cases of one part.

    Attributes:
        x: (N, K) predictors, the image score last where there is one; NaN where missing.
        positive: (N,) bool.
        candidates: (N, M) further predictors that were considered.
        aggregates: By name, (N,) image scores that combine a case's images in another way.
    """

    x: np.ndarray
    positive: np.ndarray
    candidates: np.ndarray
    aggregates: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Development:
    """A nomogram and its comparators, fitted to development cases.

    Attributes:
        names: K predictors, the image score last where there is one.
        fits: By model, the nomogram first: functions from predictors to probabilities.
        columns: By model, its predictors among `names` and, after these, the aggregates.
        thresholds: By model, chosen on held-out predictions.
        nomogram: The regression as axes.
        notes: Warnings, a sentence each.
        share: Share of positive cases.
    """

    names: list[str]
    fits: dict[str, Any]
    columns: dict[str, list[int]]
    thresholds: dict[str, float]
    nomogram: Nomogram
    notes: list[str]
    share: float

    @property
    def regression(self) -> Any:
        """Regression of the nomogram: `fit`, with covariance and notes, and the recentred `model`."""
        return self.fits[NOMOGRAM]


def develop(
    part: Part,
    names: Sequence[str],
    fold: np.ndarray,
    *,
    candidates: int = 0,
    draws: int = 0,
    units: Mapping[str, str] | None = None,
    levels: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> Development:
    """Fit the nomogram and its comparators to development cases.

    With an image score, the clinical model has all other predictors, and `image score` has it alone; both nomogram and
    score are also fitted with each other aggregate, where it differs. The learners have all predictors.

    Args:
        part: Cases whose image scores are out of fold.
        names: K predictors, the image score last where there is one.
        fold: (N,) for held-out predictions, from which thresholds come.
        candidates: Number of further predictors that were considered.
        draws: Imputations where values are missing; 0 where none may be.
        units: Of predictors, for the axes.
        levels: By predictor of 0 and 1, the names of both.
        seed: Of learners and imputations.

    Returns:
        The development.

    Raises:
        ValueError: As `evaluation.regression.logistic.fit_logistic` does.
    """
    names, positive = list(names), part.positive
    x = np.column_stack([part.x, *part.aggregates.values()])
    every, scored = [*range(len(names))], names[-1] == SCORE
    fits: dict[str, tuple[Any, list[int]]] = {NOMOGRAM: (regression(names, draws, seed), every)}
    if scored and every[:-1]:
        fits[CLINICAL] = (regression(names[:-1], draws, seed), every[:-1])
    if scored:
        fits[SCORE_ALONE] = (regression(names[-1:]), every[-1:])
    for column, how in enumerate(part.aggregates, len(names)):
        if not np.array_equal(x[:, column], x[:, len(names) - 1]):  # as where each case has one image
            fits[aggregated(NOMOGRAM, how)] = (regression(names, draws, seed), [*every[:-1], column])
            fits[aggregated(SCORE_ALONE, how)] = (regression(names[-1:]), [column])
    fits |= {name: (fit, every) for name, fit in learners(names, seed).items()}
    thresholds, fitted = {}, {}
    for name, (fit, columns) in fits.items():
        fitted[name] = fit(x[:, columns], positive)
        thresholds[name] = youden_threshold(positive, held_out(fit, x[:, columns], positive, fold))
    made = fitted[NOMOGRAM]
    notes = [*made.fit.notes, events_note(positive, len(names) + candidates)]
    notes += [polarity_note(positive, part.x[:, -1], names[-1])] if scored else []
    return Development(
        names,
        fitted,
        {name: columns for name, (_, columns) in fits.items()},
        thresholds,
        nomogram_of(made.model, part.x, units=units, levels=levels),
        list(dict.fromkeys(filter(None, notes))),
        float(positive.mean()),
    )


def aggregated(model: str, how: str) -> str:
    """Name of a model whose image score combines a case's images as `how` says, other than the nomogram does."""
    return f"{model}, {how} of images"


def judge(
    positive: np.ndarray, probabilities: Mapping[str, np.ndarray], thresholds: Mapping[str, float]
) -> dict[str, float]:
    """Metrics of the nomogram on cases that it was not fitted to, and its gain over the predictors without the score.

    Args:
        positive: (N,) bool.
        probabilities: (N,) by model.
        thresholds: By model.

    Returns:
        `auc` with its interval, rates and net benefit at the threshold, Brier score, calibration slope and intercept
        with theirs; `score_auc`, `clinical_auc`, `auc_gain` and `auc_gain_p` where there is an image score; and of
        every other model `auc_<model>`, such as `auc_random_forest`.

    Raises:
        ValueError: If a class is missing, or a probability.
    """
    sick = int(positive.sum())
    if sick in (0, len(positive)):
        only = f"all {len(positive)} cases are {'positive' if sick else 'negative'}"
        raise ValueError(f"{only}: AUC and calibration need cases of both classes")
    prob, threshold = probabilities[NOMOGRAM], thresholds[NOMOGRAM]
    area, called = delong(positive, prob), rates(positive, prob >= threshold)
    numbers = {name: area[name] for name in ("auc", "auc_low", "auc_high")}
    numbers |= {name: called[name] for name in ("accuracy", "sensitivity", "specificity")}
    numbers |= {"threshold": threshold, **calibration_line(positive, prob), **calibration_intervals(positive, prob)}
    numbers |= net_benefit(positive, prob, threshold)
    if SCORE_ALONE in probabilities:
        numbers["score_auc"] = delong(positive, probabilities[SCORE_ALONE])["auc"]
    if CLINICAL in probabilities:
        gain = delong_test(positive, prob, probabilities[CLINICAL])
        numbers["clinical_auc"] = delong(positive, probabilities[CLINICAL])["auc"]
        numbers |= {"auc_gain": gain["difference"], "auc_gain_p": gain["p"]}
    others = probabilities.keys() - {NOMOGRAM, CLINICAL, SCORE_ALONE}
    slugs = {name: re.sub(r"\W+", "_", name).lower() for name in probabilities if name in others}
    return numbers | {f"auc_{slug}": delong(positive, probabilities[name])["auc"] for name, slug in slugs.items()}


def validation_rows(optimism: Sequence[Mapping[str, Any]], numbers: Mapping[str, float] | None) -> list[dict[str, Any]]:
    """The measures of the development beside those of other cases.

    Args:
        optimism: From `optimism_rows`.
        numbers: From `judge`, of other cases; None without other cases.

    Returns:
        The same rows with `test`, `test low` and `test high`, and one of the net benefit at the threshold.
    """
    if not numbers:
        return [dict(row) for row in optimism]
    rows: list[dict[str, Any]] = []
    for row in [*optimism, {**dict.fromkeys(optimism[0], ""), "measure": "net_benefit"}]:
        name = row["measure"]
        ends = [numbers.get(f"{name}_{end}", float("nan")) for end in ("low", "high")]
        rows.append({**row, "test": numbers[name], "test low": ends[0], "test high": ends[1]})
    return rows


def odds_rows(development: Development, part: Part, candidates: Sequence[str]) -> list[dict[str, Any]]:
    """Odds ratios of one standard deviation: each predictor and candidate alone, then the predictors together."""
    names = [*development.names, *candidates]
    x = np.concatenate([part.x, part.candidates], axis=1)
    rows = []
    for column, name in zip(x.T, names, strict=True):
        known = np.isfinite(column)
        spread = column[known].std(keepdims=True)
        if spread[0] > 0:
            rows += univariate_table(column[known, None], part.positive[known], [name], per=spread)
    rows = [{"model": "alone", **row} for row in rows]
    fit, spread = development.regression.fit, np.nanstd(part.x, axis=0)
    together = pooled_table(fit, spread) if isinstance(fit, PooledFit) else None
    together = together or multivariate_table(fit, part.x, part.positive, per=spread)
    return [_odds_row(row) for row in [*rows, *({"model": "together", **row} for row in together)]]


def optimism_rows(part: Part, names: Sequence[str], draws: int, resamples: int, seed: int = 0) -> list[dict[str, Any]]:
    """Optimism of the regression by the bootstrap; scores are taken as they are, out of fold."""
    fit = regression(names, min(draws, 1), seed)

    def pipeline(rows: np.ndarray) -> Any:
        model = fit(part.x[rows], part.positive[rows])
        return lambda some: model(part.x[some])

    return optimism_table(pipeline, part.positive, resamples=resamples, seed=seed)


def equation(model: Linear, outcome: str) -> str:
    """The model in one line, predictors in their own units."""
    terms = "".join(
        f" {'-' if value < 0 else '+'} {abs(value):.5g} {name}"
        for name, value in zip(model.names, model.coefficients, strict=True)
    )
    return f"logit P({outcome}) = {model.intercept:.5g}{terms}"


def _odds_row(row: Mapping[str, Any]) -> dict[str, Any]:
    odds = f"{row['odds_ratio']:.3g} ({row['low']:.3g} to {row['high']:.3g})"
    which = {key: row[key] for key in ("model", "predictor", "cases")}
    unit = {"one SD": f"{row['per']:.3g}", "method": row["method"]}
    return {**which, "odds ratio of one SD (95% CI)": odds, "p": p_text(row["p"]), **unit}
