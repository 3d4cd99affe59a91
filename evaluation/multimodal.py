"""A nomogram of measured predictors and an image score, from development cases to its test, with its comparators.

Whatever is chosen (coefficients, thresholds, imputations) is chosen on development cases; test cases are only looked
at by models and thresholds that are fixed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.comparators import held_out, learners, model_rows, regression
from evaluation.diagnostic import delong, delong_test, p_text, rates, youden_threshold
from evaluation.imputation import PooledFit, pooled_table
from evaluation.nomogram import Nomogram, nomogram_of
from evaluation.odds import multivariate_table, univariate_table
from evaluation.optimism import optimism_table
from evaluation.predictors import events_note, polarity_note

__all__ = ["NOMOGRAM", "SCORE", "Analysis", "Part", "analyse", "equation", "odds_rows", "optimism_rows"]

NOMOGRAM = "nomogram"
SCORE = "image_score"


@dataclass(frozen=True)
class Part:
    """Cases of one part.

    Attributes:
        x: (N, K) predictors, the image score last; NaN where missing.
        positive: (N,) bool.
        candidates: (N, M) further predictors that were looked at.
    """

    x: np.ndarray
    positive: np.ndarray
    candidates: np.ndarray


@dataclass(frozen=True)
class Analysis:
    """What came out.

    Attributes:
        names: K predictors, the image score last.
        regression: The fitted nomogram model: `fit`, `model`, and called it predicts.
        nomogram: The same as axes.
        probabilities: (N,) of the test cases by model, the nomogram first.
        thresholds: By model, chosen on held-out predictions of the development cases.
        numbers: Metrics by name.
        notes: What a reader has to know, a sentence each.
    """

    names: list[str]
    regression: Any
    nomogram: Nomogram
    probabilities: dict[str, np.ndarray]
    thresholds: dict[str, float]
    numbers: dict[str, float]
    notes: list[str]

    def rows(self, positive: np.ndarray, readers: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> list[dict[str, Any]]:
        """The table of models and readers on the test cases."""
        return model_rows(positive, self.probabilities, self.thresholds, readers, NOMOGRAM)


def analyse(
    development: Part,
    test: Part,
    names: Sequence[str],
    fold: np.ndarray,
    *,
    candidates: int = 0,
    draws: int = 0,
    units: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Analysis:
    """Fit the nomogram and its comparators to development cases and apply them to test cases.

    The clinical model has all predictors but the score, `image score` the score alone, the learners have all.

    Args:
        development: Cases whose image scores are out of fold.
        test: Cases that no choice has seen.
        names: K predictors, the image score last.
        fold: (N,) of the development cases: held-out predictions, from which thresholds come.
        candidates: Further predictors that were looked at.
        draws: Imputations where values are missing; 0 where none may be.
        units: Of predictors, for the axes.
        seed: Of learners and imputations.

    Returns:
        The analysis.

    Raises:
        ValueError: As `evaluation.logistic.fit_logistic` does.
    """
    names, x, positive = list(names), development.x, development.positive
    last = len(names) - 1
    fits: dict[str, tuple[Any, list[int]]] = {NOMOGRAM: (regression(names, draws, seed), [*range(len(names))])}
    if last:
        fits["clinical regression"] = (regression(names[:-1], draws, seed), [*range(last)])
    fits["image score"] = (regression(names[-1:]), [last])
    fits |= {name: (fit, [*range(len(names))]) for name, fit in learners(names, seed).items()}
    probabilities, thresholds, fitted = {}, {}, {}
    for name, (fit, columns) in fits.items():
        fitted[name] = fit(x[:, columns], positive)
        probabilities[name] = fitted[name](test.x[:, columns])
        thresholds[name] = youden_threshold(positive, held_out(fit, x[:, columns], positive, fold))
    made = fitted[NOMOGRAM]
    notes = [*made.fit.notes, events_note(positive, len(names) + candidates)]
    notes.append(polarity_note(positive, x[:, -1], names[-1]))
    return Analysis(
        names,
        made,
        nomogram_of(made.model, x, units=units),
        probabilities,
        thresholds,
        _numbers(test.positive, probabilities, thresholds),
        list(dict.fromkeys(filter(None, notes))),
    )


def odds_rows(analysis: Analysis, development: Part, candidates: Sequence[str]) -> list[dict[str, Any]]:
    """Odds ratios of one standard deviation: each predictor and candidate alone, then the predictors together."""
    names = [*analysis.names, *candidates]
    x = np.concatenate([development.x, development.candidates], axis=1)
    rows = []
    for column, name in zip(x.T, names, strict=True):
        known = np.isfinite(column)
        spread = column[known].std(keepdims=True)
        if spread[0] > 0:
            rows += univariate_table(column[known, None], development.positive[known], [name], per=spread)
    rows = [{"model": "alone", **row} for row in rows]
    fit, spread = analysis.regression.fit, np.nanstd(development.x, axis=0)
    together = pooled_table(fit, spread) if isinstance(fit, PooledFit) else None
    together = together or multivariate_table(fit, development.x, development.positive, per=spread)
    return [_odds_row(row) for row in [*rows, *({"model": "together", **row} for row in together)]]


def optimism_rows(
    development: Part, names: Sequence[str], draws: int, resamples: int, seed: int = 0
) -> list[dict[str, Any]]:
    """Optimism of the regression by the bootstrap; scores are taken as they are, out of fold."""
    fit = regression(names, min(draws, 1), seed)

    def pipeline(rows: np.ndarray) -> Any:
        model = fit(development.x[rows], development.positive[rows])
        return lambda some: model(development.x[some])

    return optimism_table(pipeline, development.positive, resamples=resamples, seed=seed)


def equation(analysis: Analysis, outcome: str = "HLHS") -> str:
    """The model in one line, predictors in their own units."""
    model = analysis.regression.model
    terms = "".join(
        f" {'-' if value < 0 else '+'} {abs(value):.5g} {name}"
        for name, value in zip(model.names, model.coefficients, strict=True)
    )
    return f"logit P({outcome}) = {model.intercept:.5g}{terms}"


def _odds_row(row: Mapping[str, Any]) -> dict[str, Any]:
    odds = f"{row['odds_ratio']:.3g} ({row['low']:.3g} to {row['high']:.3g})"
    said = {key: row[key] for key in ("model", "predictor", "cases")}
    unit = {"one SD": f"{row['per']:.3g}", "method": row["method"]}
    return {**said, "odds ratio of one SD (95% CI)": odds, "p": p_text(row["p"]), **unit}


def _numbers(
    positive: np.ndarray, probabilities: Mapping[str, np.ndarray], thresholds: Mapping[str, float]
) -> dict[str, float]:
    """Metrics of the nomogram, and its gain over the predictors without the score."""
    prob = probabilities[NOMOGRAM]
    area, said = delong(positive, prob), rates(positive, prob >= thresholds[NOMOGRAM])
    numbers = {name: area[name] for name in ("auc", "auc_low", "auc_high")}
    numbers |= {name: said[name] for name in ("accuracy", "sensitivity", "specificity")}
    numbers |= {"threshold": thresholds[NOMOGRAM], "score_auc": delong(positive, probabilities["image score"])["auc"]}
    if "clinical regression" in probabilities:
        gain = delong_test(positive, prob, probabilities["clinical regression"])
        numbers["clinical_auc"] = delong(positive, probabilities["clinical regression"])["auc"]
        numbers |= {"auc_gain": gain["difference"], "auc_gain_p": gain["p"]}
    return numbers
