"""Fit a nomogram between training and test, and read a fitted one."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from medzoo.evaluation.nomogram.axes import Categorical, Continuous
from medzoo.evaluation.nomogram.study import (
    CLINICAL,
    NOMOGRAM,
    SCORE,
    SCORE_ALONE,
    Development,
    Part,
    aggregated,
    develop,
    odds_rows,
    optimism_rows,
)
from medzoo.evaluation.regression.image_score import Aggregate, folds_by_case
from medzoo.evaluation.regression.learners.comparators import Regression
from medzoo.evaluation.regression.learners.plain import plain_filler, plain_model, plain_regression
from medzoo.evaluation.scores.prevalence import at_prevalence, prior_shift
from medzoo.evaluation.scores.summary import table_one
from medzoo.lightning_modules.contracts import CaseData
from medzoo.lightning_modules.nomogram.images import EncodedImages
from medzoo.models.fitted import NomogramPart

__all__ = ["CaseTable", "NomogramSettings", "case_folds", "fit_nomogram", "probabilities_of", "refuse_gaps"]

log = logging.getLogger(__name__)

_KEYS = {
    NOMOGRAM: "nomogram",
    CLINICAL: "clinical",
    SCORE_ALONE: "score",
    **{aggregated(NOMOGRAM, how): f"nomogram_{how}" for how in ("mean", "max")},
    **{aggregated(SCORE_ALONE, how): f"score_{how}" for how in ("mean", "max")},
    "random forest": "forest",
    "decision tree": "tree",
    "SVM": "machine",
    "MLP": "perceptron",
    "XGBoost": "boosting",
    "gradient boosting": "boosting",
}


@dataclass(frozen=True)
class NomogramSettings:
    """How a nomogram is fitted to the development cases, those of training and validation.

    Attributes:
        folds: Folds for image scores and held-out predictions; fewer if a class has fewer cases.
        aggregate: How the scores of a case's images are combined.
        top: Number of images averaged by `aggregate=top`.
        resamples: Bootstrap samples for the optimism correction.
        draws: Imputations, if the datamodule imputes.
        units: Units of predictors, by name.
        names: Display names of predictors in figures and calculator.
        seed: Seed of folds, learners and imputations.

    Raises:
        ValueError: If a number is too small.
    """

    folds: int = 5
    aggregate: Aggregate = "mean"
    top: int = 2
    resamples: int = 500
    draws: int = 20
    units: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2 or min(self.top, self.resamples, self.draws) < 1:
            others = f"top={self.top}, resamples={self.resamples}, draws={self.draws} positive"
            raise ValueError(f"folds={self.folds} must be 2 or more; {others}")


@dataclass(frozen=True)
class CaseTable:
    """N cases, as the nomogram gets them.

    Attributes:
        names: N names.
        positive: (N,) bool; None if not known.
        split: N of `train`, `val`, `test`.
        x: (N, K) predictors, the image score last where there is one; NaN where missing.
        candidates: By name, (N,) of further predictors that were considered.
        readers: By name, scores (N,) and calls (N,).
        truth: (N,) true probabilities, for phantoms only.
        images: Names of images, and as arrays their `case`, `latent` and `score`; none without images.
        aggregates: By name, (N,) image scores that combine a case's images in another way.
    """

    names: list[str]
    positive: np.ndarray | None
    split: list[str]
    x: np.ndarray
    candidates: Mapping[str, np.ndarray]
    readers: Mapping[str, tuple[np.ndarray, np.ndarray]]
    truth: np.ndarray | None = None
    images: EncodedImages | None = None
    aggregates: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def part(self) -> Part:
        """The input of the regression."""
        others = [*self.candidates.values()]
        assert self.positive is not None
        beside = np.column_stack(others) if others else np.empty((len(self.x), 0))
        return Part(self.x, self.positive, beside, self.aggregates)


def case_folds(positive: np.ndarray, case: np.ndarray, settings: NomogramSettings) -> np.ndarray:
    """(N,) fold of each row, by case; as many as `settings.folds`, or as the rarer class has cases."""
    fewest = min(len(np.unique(case[positive == value])) for value in (False, True))
    if fewest < settings.folds:
        log.warning("folds=%d, but a class has %d development cases: as many folds", settings.folds, fewest)
    return folds_by_case(positive, case, min(settings.folds, fewest), settings.seed)


def fit_nomogram(
    keeper: NomogramPart,
    settings: NomogramSettings,
    table: CaseTable,
    fold: np.ndarray,
    datamodule: CaseData,
    walk: tuple[np.ndarray, np.ndarray] | None = None,
    share: float | None = None,
) -> None:
    """Develop the nomogram and its comparators, and store everything that test and prediction read.

    Args:
        keeper: Stores the result.
        settings: How to fit.
        table: The development cases.
        fold: (N,) fold of each case.
        datamodule: With `predictors`, `candidates`, `missing` and `class_names`, optionally `units` and `levels`.
        walk: Latents and scores along the image score, for the figure.
        share: Of positive cases in the study, if the development cases were drawn from it by class: probabilities and
            thresholds are those at this share (`evaluation.scores.prevalence`).
    """
    names = [*datamodule.predictors, *([SCORE] if walk else [])]
    draws = settings.draws if datamodule.missing == "impute" else 0
    units = {**getattr(datamodule, "units", {}), **settings.units}
    made = develop(
        table.part,
        names,
        fold,
        candidates=len(datamodule.candidates),
        draws=draws,
        units={name: unit for name, unit in units.items() if name in names},
        levels={name: level for name, level in getattr(datamodule, "levels", {}).items() if name in names},
        seed=settings.seed,
    )
    for note in made.notes:
        log.warning("%s", note)
    optimism = optimism_rows(table.part, names, draws, settings.resamples, settings.seed)
    record, numbers = _record(made, settings, table, datamodule, optimism), _numbers(made, table, walk)
    keeper.keep(record, numbers | (_at_share(numbers, share) if share else {}), _models(made))


def probabilities_of(keeper: NomogramPart, table: CaseTable) -> dict[str, np.ndarray]:
    """(N,) by model, the nomogram first.

    Raises:
        ValueError: If a case lacks a predictor and the nomogram was fitted with `missing=refuse`.
    """
    names = keeper.record["names"]
    if table.x.shape[1] != len(names):
        raise ValueError(f"{table.x.shape[1]} predictors; the nomogram has {len(names)}: {', '.join(names)}")
    if not keeper.fills_gaps:
        refuse_gaps(table.x, names, table.names)
    x = np.column_stack([table.x, *table.aggregates.values()])
    found = keeper.probabilities(torch.from_numpy(np.asarray(x, float)))
    return {name: prob.cpu().numpy() for name, prob in found.items()}


def refuse_gaps(x: np.ndarray | None, names: Sequence[str], cases: Sequence[str]) -> None:
    """Raise a ValueError that names the first missing value of predictors (N, K), if there is one."""
    gaps = np.argwhere(np.isnan(x)) if x is not None else np.empty((0, 2), int)
    if len(gaps):
        row, column = gaps[0]
        gap = f"{names[column]} of case {cases[row]} is missing ({len(gaps)} missing values in all)"
        raise ValueError(
            f"{gap}, and the nomogram was fitted with datamodule.missing=refuse: fill it, or fit with missing=impute"
        )


def _models(made: Development) -> dict[str, Any]:
    """By key of the keeper, arrays of the imputation and of the model."""
    found = {}
    for name, fit in made.fits.items():
        arrays = plain_regression(fit) if isinstance(fit, Regression) else plain_model(fit.model)
        found[_KEYS[name]] = plain_filler(fit.fill), arrays
    return found


def _numbers(made: Development, table: CaseTable, walk: tuple[np.ndarray, np.ndarray] | None) -> dict[str, Any]:
    linear = made.regression.model.linear_predictor(table.x)
    numbers = {
        "low": np.nanmin(table.x, axis=0),
        "high": np.nanmax(table.x, axis=0),
        "linear": np.array([np.nanmin(linear), np.nanmax(linear)]),
        "share": np.array(made.share),
        "threshold": np.array([*made.thresholds.values()]),
    }
    return numbers | ({"latent": walk[0], "score": walk[1]} if walk else {})


def _at_share(numbers: Mapping[str, Any], share: float) -> dict[str, Any]:
    """The numbers that depend on the share of positive cases, at another share."""
    drawn = float(numbers["share"])
    shift = prior_shift(drawn, share)
    threshold = at_prevalence(numbers["threshold"], drawn, share)
    return {"share": share, "shift": [shift], "threshold": threshold, "linear": numbers["linear"] + shift}


def _record(
    made: Development,
    settings: NomogramSettings,
    table: CaseTable,
    datamodule: CaseData,
    optimism: list[dict[str, Any]],
) -> dict[str, Any]:
    """Names, tables and notes, as plain containers."""
    assert table.positive is not None
    named = {**dict(zip(made.names, table.x.T, strict=True)), **table.candidates}
    splits = [split for split in ("train", "val") if split in table.split]
    rows = {split: np.array(table.split) == split for split in splits}
    return {
        "names": made.names,
        "models": [[name, _KEYS[name], made.columns[name]] for name in made.fits],
        "units": {axis.name: axis.unit for axis in made.nomogram.axes if isinstance(axis, Continuous) and axis.unit},
        "levels": {axis.name: [*axis.effects] for axis in made.nomogram.axes if isinstance(axis, Categorical)},
        "titles": dict(settings.names),
        "classes": list(datamodule.class_names),
        "notes": made.notes,
        "method": made.regression.fit.method,
        "phantom": bool(datamodule.phantom),
        "gaps": int(np.isnan(table.x).any(1).sum()),
        "counts": {split: [int(of.sum()), int(table.positive[of].sum())] for split, of in rows.items()},
        "candidates": list(datamodule.candidates),
        "missing": datamodule.missing,
        "settings": {name: getattr(settings, name) for name in ("folds", "aggregate", "draws", "resamples", "seed")},
        "optimism": optimism,
        "odds": odds_rows(made, table.part, datamodule.candidates),
        "cases": table_one(
            {split: {name: column[of] for name, column in named.items()} for split, of in rows.items()},
            {split: table.positive[of] for split, of in rows.items()},
            datamodule.class_names,
        ),
    }
