"""Compare the stages of a run: tables and figures in the run folder (`Compares` in `contracts/`)."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medzoo.evaluation.figures import areas_figure, decision_figure, roc_figure
from medzoo.evaluation.scores.by_patient import judge_patients
from medzoo.evaluation.scores.diagnostic import delong_test
from medzoo.evaluation.scores.intervals import interval_text
from medzoo.evaluation.scores.representations import compare_representations
from medzoo.runtime.output.run_folder import read_csv, read_metrics
from medzoo.runtime.output.tables import write_table

__all__ = ["CompareMetrics", "CompareRepresentations", "CompareScores"]

log = logging.getLogger(__name__)
_RATES = ("sensitivity", "specificity", "ppv", "npv", "f1")


class CompareMetrics:
    """A table with a row for each stage and a column for each metric; stages that did not run are left out.

    Args:
        stages: Names of stages, by their titles in the table.
        columns: Names of metrics, by their titles in the table.
    """

    def __init__(self, stages: Mapping[str, str], columns: Mapping[str, str]) -> None:
        self.stages, self.columns = dict(stages), dict(columns)

    def __call__(self, run: Path, name: str) -> None:
        """Write `test_<name>.csv`."""
        found = {title: read_metrics(run / stage) for title, stage in self.stages.items()}
        rows = [
            {name: title, **{column: _text(metrics.get(key)) for column, key in self.columns.items()}}
            for title, metrics in found.items()
            if metrics
        ]
        if rows:
            write_table(run / f"test_{name}.csv", pd.DataFrame(rows))


class CompareScores:
    """Scores of the same cases by several stages: areas, paired tests, rates at each threshold, ROC and decisions.

    Areas and slopes are those of the scores. The Brier score is given of the calibrated probabilities and of the
    scores; decision curves are of the calibrated probabilities. Cases without an image count with the score of a rule
    (`callbacks.PatientScores`) and are counted in the table, beside the optimiser steps of each stage.

    Args:
        stages: Names of stages, by their titles in the table; `predictions/patients.csv` of each is read.
        reference: Title of the stage that others are tested against (DeLong, paired); the first by default.
        resamples: Bootstrap draws behind the intervals in the figure.
        outcome: What positive cases have, for the title of the figure.
    """

    def __init__(
        self,
        stages: Mapping[str, str],
        reference: str | None = None,
        resamples: int = 1000,
        outcome: str = "Positive",
    ) -> None:
        self.stages, self.reference, self.resamples = dict(stages), reference or next(iter(stages)), resamples
        self.outcome = outcome
        if self.reference not in self.stages:
            raise ValueError(f"reference={self.reference}: expected one of {', '.join(self.stages)}")

    def __call__(self, run: Path, name: str) -> None:
        """Write `test_<name>.csv`, `figures/<name>_roc.png` and `figures/<name>_decision.png`."""
        found = _of_the_same_cases(run, self.stages, "patients.csv")
        if not found:
            return
        cases = {title: _Cases.of(rows) for title, rows in found.items()}
        rows = []
        for title, each in cases.items():
            metrics = read_metrics(run / self.stages[title])
            rows.append({name: title, **self._row(each, metrics, cases.get(self.reference))})
        write_table(run / f"test_{name}.csv", pd.DataFrame(rows))
        (run / "figures").mkdir(exist_ok=True)
        positive = next(iter(cases.values())).positive
        scores = {title: each.score for title, each in cases.items()}
        figure = roc_figure(positive, scores, resamples=self.resamples, outcome=self.outcome)
        figure.savefig(run / "figures" / f"{name}_roc.png")
        usable = {title: each.probability for title, each in cases.items() if each.probability is not None}
        if usable:
            decision_figure(positive, usable, compared=True).savefig(run / "figures" / f"{name}_decision.png")

    def _row(self, cases: "_Cases", metrics: Mapping[str, float | None], reference: "_Cases | None") -> dict[str, Any]:
        threshold = metrics.get("test/patient_threshold") or 0.5
        said = judge_patients(cases.positive, cases.score, threshold, cases.probability, cases.without_image)
        row = {"AUC (95% CI)": interval_text(said, "auc")}
        if reference is not None:
            tested = delong_test(cases.positive, cases.score, reference.score)
            row[f"p against {self.reference}"] = "" if reference is cases else f"{tested['p']:.3f}"
        row |= {f"{rate} (95% CI)": interval_text(said, rate) for rate in _RATES}
        calibrated = said.get("brier_calibrated")
        return {
            **row,
            "Brier, calibrated": "" if calibrated is None else f"{calibrated:.3f}",
            "Brier of scores": f"{said['brier']:.3f}",
            "slope of scores": f"{said['calibration_slope']:.2f}",
            "cases": len(cases.score),
            "without image": int(cases.without_image.sum()),
            "steps": _text(metrics.get("fit/steps")),
        }


@dataclass(frozen=True)
class _Cases:
    """Of N cases: the truth (N,) bool, the scores (N,), the probabilities (N,), if any, and who has no image (N,)."""

    positive: np.ndarray
    score: np.ndarray
    probability: np.ndarray | None
    without_image: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, str]]) -> "_Cases":
        """From rows of `predictions/patients.csv`; runs of earlier versions have neither of the last two columns."""
        probability = np.array([float(row.get("probability") or "nan") for row in rows])
        return cls(
            np.array([int(row["label"]) == 1 for row in rows]),
            np.array([float(row["score"]) for row in rows]),
            None if np.isnan(probability).any() else probability,
            np.array([row.get("without_image") == "1" for row in rows]),
        )


class CompareRepresentations:
    """Sets of features of several stages in one table: areas, accuracies and paired tests on the same test cases.

    `predictions/representations.csv` of each stage is read. A set with equal probabilities in all stages has one row.
    Every row is tested against the first set of the first stage, and against the last one of it, which is both parts.

    Args:
        stages: Names of stages, by their titles in the table.
        resamples: Bootstrap draws behind the intervals, with more than two classes.
    """

    def __init__(self, stages: Mapping[str, str], resamples: int = 1000) -> None:
        self.stages, self.resamples = dict(stages), resamples

    def __call__(self, run: Path, name: str) -> None:
        """Write `test_<name>.csv` and `figures/<name>.png`."""
        label: np.ndarray = np.zeros(0)
        probs: dict[str, np.ndarray] = {}
        for title, rows in _of_the_same_cases(run, self.stages, "representations.csv").items():
            label = np.array([int(row["label"]) for row in rows])
            for part in dict.fromkeys(column.rpartition("/")[0] for row in rows[:1] for column in row if "/" in column):
                columns = [column for column in rows[0] if column.rpartition("/")[0] == part]
                prob = np.array([[float(row[column]) for column in columns] for row in rows])
                if not any(np.array_equal(prob, other) for other in probs.values()):
                    probs[part if not probs else f"{part}, {title}"] = prob
        if not probs:
            return
        names = [*probs]
        against = [names[0], *names[2:3]]
        tables = [compare_representations(label, probs, each, resamples=self.resamples) for each in against]
        rows = [
            {name: row["name"], "AUC (95% CI)": interval_text(row, "auc"), "ACC (95% CI)": interval_text(row, "acc")}
            | {f"p against {each}": _p(table[index]) for each, table in zip(against, tables, strict=True)}
            for index, row in enumerate(tables[0])
        ]
        write_table(run / f"test_{name}.csv", pd.DataFrame(rows))
        (run / "figures").mkdir(exist_ok=True)
        areas_figure(tables[0]).savefig(run / "figures" / f"{name}.png")


def _p(row: Mapping[str, Any]) -> str:
    return f"{row['p']:.3g} ({row['difference']:+.3f})" if row["p"] < 1 else ""


def _of_the_same_cases(run: Path, stages: Mapping[str, str], file: str) -> dict[str, list[Mapping[str, str]]]:
    """Rows of the cases that every stage has in `predictions/<file>`, in order of their id, by the stages' titles.

    Stages without the file are left out, and a line says how many cases are.

    Raises:
        ValueError: If stages differ in the label of a case, or have no case in common.
    """
    read = {title: read_csv(run / stage / "predictions" / file) for title, stage in stages.items()}
    found = {title: {row["id"]: row for row in rows} for title, rows in read.items() if rows}
    if not found:
        return {}
    every = set.union(*({*rows} for rows in found.values()))
    shared = sorted(set.intersection(*({*rows} for rows in found.values())))
    if not shared:
        raise ValueError(f"{', '.join(found)}: no case is in predictions/{file} of all")
    for name in shared:
        if len({rows[name]["label"] for rows in found.values()}) > 1:
            raise ValueError(f"{name}: its label differs between {', '.join(found)}")
    if left_out := sorted(every - {*shared}):
        log.warning("%d of %d cases are not in predictions/%s of all compared stages and are left out: %s",
                    len(left_out), len(every), file, ", ".join(left_out[:5]))  # fmt: skip
    return {title: [rows[name] for name in shared] for title, rows in found.items()}


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
