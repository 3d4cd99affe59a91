"""Cases of a table with an outcome and predictors, and checks that a nomogram needs before training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from medzoo.evaluation.regression.predictors import check_predictors

__all__ = ["CaseTable", "Cases"]


@dataclass(frozen=True)
class Cases:
    """N cases."""

    names: list[str]  # N names
    positive: np.ndarray | None  # (N,) bool; none where the table has no labels
    split: list[str]  # N of `train`, `val`, `test`; empty where the table has none
    values: dict[str, np.ndarray]  # (N,) of each predictor, NaN where missing
    # By name of the reader, scores (N,) and calls (N,), NaN where a case was not read
    readers: dict[str, tuple[np.ndarray, np.ndarray]]
    probability: np.ndarray | None = None  # (N,) true ones, of phantoms

    def __getitem__(self, rows: np.ndarray) -> "Cases":
        """The cases of some rows (M,) int."""
        return replace(
            self,
            names=[self.names[row] for row in rows],
            positive=None if self.positive is None else self.positive[rows],
            split=[self.split[row] for row in rows] if self.split else [],
            values={name: column[rows] for name, column in self.values.items()},
            readers={name: (scores[rows], calls[rows]) for name, (scores, calls) in self.readers.items()},
            probability=None if self.probability is None else self.probability[rows],
        )

    def of(self, *splits: str) -> "Cases":
        """The cases of some splits."""
        return self[np.flatnonzero(np.isin(self.split, splits))]

    def matrix(self, predictors: Sequence[str]) -> np.ndarray:
        """Values (N, K) of K predictors, NaN where missing."""
        return np.stack([self.values[name] for name in predictors], axis=1)

    def counts(self) -> tuple[int, int]:
        """Number of cases without the outcome, and with it."""
        positive = np.zeros(0, bool) if self.positive is None else self.positive
        return int((~positive).sum()), int(positive.sum())

    def check_counts(self, class_names: Sequence[str], source: Path) -> None:
        """Refuse development or test cases with too few of a class; without test cases the test is not checked."""
        for part, splits, least in (("development", ("train", "val"), 3), ("test", ("test",), 1)):
            cases = self.of(*splits)
            well, sick = cases.counts()
            if cases.names and min(well, sick) < least:
                counts = f"{well} {class_names[0]} and {sick} {class_names[1]}"
                raise ValueError(f"{source}: {counts} {part} cases; at least {least} of each are needed")

    def check_gaps(self, predictors: Sequence[str], remedy: str) -> None:
        """Refuse a predictor that some cases lack."""
        for name in predictors:
            if gaps := int(np.isnan(self.values[name]).sum()):
                told = f"missing in {gaps} of {len(self.names)} cases"
                raise ValueError(f"{name}: {told}; {remedy}, or set datamodule.missing=impute")

    def check_predictors(self, predictors: Sequence[str]) -> None:
        """Refuse predictors that no regression can be fitted to, looking at complete cases only."""
        assert self.positive is not None
        x = self.matrix(predictors)
        known = ~np.isnan(x).any(1)
        check_predictors(x[known], self.positive[known], predictors)


class CaseTable:
    """Mixin for datamodules: the cases that modules and figures ask for."""

    _cases: Cases | None = None
    _predicted: Cases | None = None

    def cases(self, *splits: str) -> Any:
        """The cases of some splits, after `setup`; `predict` gives None if the images came without a table."""
        if splits == ("predict",):
            return self._predicted
        assert self._cases is not None
        return self._cases.of(*splits)

    @staticmethod
    def check_named_once(predictors: Sequence[str]) -> None:
        """Refuse a predictor that is named twice."""
        if len({*predictors}) < len(predictors):
            raise ValueError(f"a predictor or candidate is named twice: {', '.join(predictors)}")
