"""The numbers of a table's rows as text."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np

from benchmarks.tables.description import Line, Table
from benchmarks.tables.training import Job
from medzoo.evaluation.scores.intervals import interval_text
from medzoo.evaluation.scores.representations import compare_representations
from medzoo.runtime.output.run_folder import read_csv

__all__ = ["cells", "ensemble", "mean_and_sd", "value_of"]


def cells(line: Line, table: Table, jobs: Sequence[Job]) -> list[str]:
    """A row's cells under the headings of `table.columns`, and its minutes.

    Args:
        line: The row.
        table: To which it belongs.
        jobs: Finished runs of the row's setting, one for each seed; none for published numbers.

    Raises:
        ValueError: If a run did not measure a metric, or has no predictions that could be averaged.
    """
    digits = {name: table.digits.get(name, 3) for name in table.columns}
    if line.run is None:
        given = {name: f"{value:.{digits[name]}f}" for name, value in line.published.items()}
        return [*(given.get(name, "") for name in table.columns), ""]
    chosen = {name: metric.replace("{row}", line.row) for name, metric in {**table.columns, **line.metrics}.items()}
    minutes = [float(job.metrics["fit/minutes"]) for job in jobs]
    if line.show == "ensemble":
        found = ensemble([job.folder for job in jobs])
        return [*(interval_text(found, _known(chosen[name], found)) for name in table.columns), f"{sum(minutes):.1f}"]
    if line.show == "interval":
        return [*(interval_text(*_bounded(chosen[name], jobs[0])) for name in table.columns), f"{minutes[0]:.1f}"]
    values = {name: [value_of(job, chosen[name]) for job in jobs] for name in table.columns}
    if line.show == "same":  # no cost of training is theirs
        one = {name: _one(found, f"{line.label}: {chosen[name]}") for name, found in values.items()}
        return [*(mean_and_sd([one[name]], digits[name]) for name in table.columns), ""]
    return [*(mean_and_sd(values[name], digits[name]) for name in table.columns), f"{mean(minutes):.1f}"]


def mean_and_sd(values: Sequence[float], digits: int) -> str:
    """`mean ± SD`, the SD with one degree of freedom taken off; `mean` alone of one value, nothing if it is NaN."""
    if np.isnan(values).all():
        return ""
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean(values):.{digits}f}{spread}"


def ensemble(folders: Sequence[Path]) -> dict[str, float]:
    """AUC and ACC of the mean probabilities of several runs on the same test cases.

    AUC is the mean over classes, one against the rest, ACC that of the most probable class: as `medmnist.Evaluator`
    has them for one label of two or more classes. Intervals are DeLong's (of more than two classes, the bootstrap's)
    and Wilson's.

    Args:
        folders: Of the runs.

    Returns:
        `test/auc` and `test/acc`, each with 95% bounds under `_low` and `_high`.

    Raises:
        ValueError: If the runs have no predictions, of several classes with one label, or of different cases.
    """
    tables = [read_csv(folder / "predictions" / "test.csv") for folder in folders]
    told = [[(row.get("id"), row.get("label")) for row in table] for table in tables]
    if not told[0] or any(each != told[0] for each in told):
        raise ValueError(f"{folders[0]}: expected the same cases in predictions/test.csv of all seeds")
    names = [name.removeprefix("p_") for name in tables[0][0] if name.startswith("p_")]
    if {label for _, label in told[0]} - {*names}:
        raise ValueError(f"{folders[0]}: expected one label a case in predictions/test.csv")
    prob = np.mean([[[float(row[f"p_{name}"]) for name in names] for row in table] for table in tables], axis=0)
    label = np.array([names.index(str(label)) for _, label in told[0]])
    (row,) = compare_representations(label, {"ensemble": prob}, "ensemble")
    return {f"test/{name}{end}": float(row[f"{name}{end}"]) for name in ("auc", "acc") for end in ("", "_low", "_high")}


def value_of(job: Job, metric: str) -> float:
    """A number of a run.

    Args:
        job: Finished.
        metric: Of `metrics.json`, or `<file>#<first cell of the row>#<column>` of a CSV of the run.

    Raises:
        ValueError: If the run has no such number.
    """
    file, *cell = metric.split("#")
    if not cell:
        value = job.metrics.get(metric)
    else:
        name, column = cell
        rows = [row for row in read_csv(job.folder / file) if next(iter(row.values())) == name]
        value = rows[0].get(column) if rows else None
    if value in (None, ""):
        raise ValueError(f"{job.folder}: no {metric}")
    return float(value)


def _one(values: Sequence[float], name: str) -> float:
    """The value of every seed, but for rounding.

    Raises:
        ValueError: If they differ.
    """
    if not np.allclose(values, values[0], rtol=1e-3, equal_nan=True):
        raise ValueError(f"{name}: expected the same value of every seed, found {values}")
    return values[0]


def _bounded(metric: str, job: Job) -> tuple[dict[str, float], str]:
    return {name: value_of(job, name) for name in (metric, f"{metric}_low", f"{metric}_high")}, metric


def _known(metric: str, found: dict[str, float]) -> str:
    if metric not in found:
        raise ValueError(f"{metric}: an ensemble has test/auc and test/acc alone")
    return metric
