"""Tables of a nomogram's report, its calculator, and what it says of each test case."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from callbacks.nomogram_study import Study
from callbacks.prediction_writer import write_csv
from evaluation.figures import nomogram_html
from evaluation.multimodal import SCORE, odds_rows
from evaluation.summary import table_one

__all__ = ["write_tables"]


def write_tables(
    run: Path, datamodule: Any, study: Study, optimism: list[dict[str, Any]], names: Mapping[str, str]
) -> None:
    """Write `test_*.csv`, `nomogram.html` and `predictions/cases.csv` into a run folder.

    Args:
        run: The folder.
        datamodule: With `class_names` and `candidates`.
        study: What came out.
        optimism: Rows of `evaluation.optimism`.
        names: What the calculator calls a predictor, where not by its own name.
    """
    analysis, tested = study.analysis, study.parts["test"]
    write_csv(run / "test_1_cases_by_split.csv", _cases_by_split(study, datamodule.class_names))
    write_csv(run / "test_2_odds_ratios.csv", odds_rows(analysis, study.parts["development"], datamodule.candidates))
    write_csv(run / "test_3_models_and_readers.csv", analysis.rows(tested.positive, study.cases["test"].readers))
    write_csv(run / "test_4_optimism.csv", optimism)
    write_csv(run / "test_5_points.csv", analysis.nomogram.table())
    write_csv(run / "predictions" / "cases.csv", _predictions(study))
    page = nomogram_html(
        analysis.nomogram, title="Nomogram as a calculator", outcome="probability of HLHS", names=names
    )
    partial = run / f"nomogram.{os.getpid()}.partial"
    partial.write_text(page, encoding="utf-8")
    partial.replace(run / "nomogram.html")


def _cases_by_split(study: Study, class_names: list[str]) -> list[dict[str, Any]]:
    values, labels = {}, {}
    for part, cases in study.cases.items():
        measured = {**cases.values, SCORE: study.parts[part].x[:, -1]}
        for split in dict.fromkeys(cases.split):
            rows = np.array(cases.split) == split
            values[split] = {name: column[rows] for name, column in measured.items()}
            labels[split] = cases.positive[rows]
    order = [split for split in ("train", "val", "test") if split in values]
    return table_one({split: values[split] for split in order}, labels, class_names)


def _predictions(study: Study) -> list[dict[str, Any]]:
    """A row for each test case: its label, what the nomogram was given, and the probability by each model."""
    analysis, part = study.analysis, study.parts["test"]
    return [
        {
            "id": name,
            "label": int(part.positive[row]),
            **dict(zip(analysis.names, part.x[row].tolist(), strict=True)),
            **{model: f"{prob[row]:.9f}" for model, prob in analysis.probabilities.items()},
        }
        for row, name in enumerate(study.cases["test"].names)
    ]
