"""Compare the stages of a run: tables and figures in the run folder (`Compares` in `contracts/`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medzoo.evaluation.figures import areas_figure, roc_figure
from medzoo.evaluation.scores.diagnostic import calibration_line, delong, delong_test, rates
from medzoo.evaluation.scores.intervals import interval_text
from medzoo.evaluation.scores.representations import compare_representations
from medzoo.runtime.output.run_folder import read_csv, read_metrics
from medzoo.runtime.output.tables import write_table

__all__ = ["CompareMetrics", "CompareRepresentations", "CompareScores"]

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
    """Scores of the same cases by several stages: areas, paired tests, rates at each threshold, ROC curves.

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
        """Write `test_<name>.csv` and `figures/<name>_roc.png`."""
        read = {title: _scores(run / stage) for title, stage in self.stages.items()}
        found = {title: scores for title, scores in read.items() if scores}
        if not found:
            return
        cases = sorted(set.intersection(*({*scores} for scores in found.values())))
        positive = np.array([next(iter(found.values()))[case][1] for case in cases]) == 1
        scores = {title: np.array([values[case][0] for case in cases]) for title, values in found.items()}
        rows = []
        for title, score in scores.items():
            threshold = read_metrics(run / self.stages[title]).get("test/patient_threshold", 0.5)
            rows.append({name: title, **self._row(positive, score, threshold, scores.get(self.reference))})
        write_table(run / f"test_{name}.csv", pd.DataFrame(rows))
        (run / "figures").mkdir(exist_ok=True)
        figure = roc_figure(positive, scores, resamples=self.resamples, outcome=self.outcome)
        figure.savefig(run / "figures" / f"{name}_roc.png")

    def _row(
        self, positive: np.ndarray, score: np.ndarray, threshold: float, reference: np.ndarray | None
    ) -> dict[str, Any]:
        area, called, line = (
            delong(positive, score),
            rates(positive, score >= threshold),
            calibration_line(positive, score),
        )
        row = {"AUC (95% CI)": interval_text(area, "auc")}
        if reference is not None:
            row[f"p against {self.reference}"] = (
                "" if reference is score else f"{delong_test(positive, score, reference)['p']:.3f}"
            )
        row |= {f"{rate} (95% CI)": interval_text(called, rate) for rate in _RATES}
        return {**row, "Brier": f"{line['brier']:.3f}", "calibration slope": f"{line['calibration_slope']:.2f}"}


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
        for title, stage in self.stages.items():
            rows = read_csv(run / stage / "predictions" / "representations.csv")
            label = np.array([int(row["label"]) for row in rows]) if rows else label
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


def _scores(stage: Path) -> dict[str, tuple[float, int]]:
    rows = read_csv(stage / "predictions" / "patients.csv")
    return {row["id"]: (float(row["score"]), int(row["label"])) for row in rows}


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
