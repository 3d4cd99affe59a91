"""Tables of a nomogram's report, its calculator, and what it says of each test case."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medzoo.callbacks.nomogram.study import Study
from medzoo.callbacks.output import write_csv
from medzoo.evaluation.figures import nomogram_html
from medzoo.evaluation.nomogram.study import NOMOGRAM, equation, validation_rows
from medzoo.evaluation.regression.comparators import model_rows
from medzoo.evaluation.scores.summary import table_one

__all__ = ["write_tables"]


def write_tables(run: Path, study: Study, notes: Sequence[str]) -> None:
    """Write `test_*.csv`, `nomogram.html` and `predictions/cases.csv` into a run folder.

    Args:
        run: The folder.
        study: What came out.
        notes: What the module has to say of its score.
    """
    reading, record = study.reading, study.reading.record
    write_csv(run / "test_0_nomogram.csv", _in_short(study, notes))
    write_csv(run / "test_1_cases_by_split.csv", _cases_by_split(study))
    write_csv(run / "test_2_odds_ratios.csv", record["odds"])
    if study.table:
        readers, positive = study.table.readers, study.table.positive
        rows = model_rows(positive, study.probabilities, reading.thresholds, readers, NOMOGRAM)
        write_csv(run / "test_3_models_and_readers.csv", rows)
        write_csv(run / "predictions" / "cases.csv", _predictions(study))
    write_csv(run / "test_4_development_and_test.csv", validation_rows(record["optimism"], study.numbers))
    write_csv(run / "test_5_points.csv", reading.nomogram.table())
    page = nomogram_html(
        reading.nomogram,
        title="Nomogram as a calculator",
        outcome=f"probability of {reading.outcome}",
        names=reading.titles,
        share=reading.share,
        positive=reading.outcome,
    )
    partial = run / f"nomogram.{os.getpid()}.partial"
    partial.write_text(page, encoding="utf-8")
    partial.replace(run / "nomogram.html")


def _in_short(study: Study, notes: Sequence[str]) -> list[dict[str, Any]]:
    """Equation, threshold and doubts, for the top of the report."""
    reading = study.reading
    counts = ", ".join(f"{split} {n} ({events})" for split, (n, events) in reading.record["counts"].items())
    said = [
        ("equation", equation(reading.model, reading.outcome)),
        ("probabilities hold", f"{reading.share_told}; the calculator and predict.py take another prevalence"),
        ("threshold", f"{reading.thresholds[NOMOGRAM]:.4f}, chosen on held-out predictions of development cases"),
        (f"development cases ({reading.outcome})", counts),
        *(("note", note) for note in [*notes, *reading.record["notes"]]),
    ]
    if study.table and not study.own:
        told = f"{len(study.table.names)} cases, {int(study.table.positive.sum())} {reading.outcome}"
        said.append(
            ("tested on", f"{told}; equation, thresholds and comparators are those of the checkpoint, unchanged")
        )
    return [{"what": what, "said": text} for what, text in said]


def _cases_by_split(study: Study) -> list[dict[str, Any]]:
    """The table of the development, and columns of the test cases beside it."""
    record, table = study.reading.record, study.table
    rows = [dict(row) for row in record["cases"]]
    if not table:
        return rows
    values = {**dict(zip(record["names"], table.x.T, strict=True)), **table.candidates}
    beside = {row["variable"]: row for row in table_one({"test": values}, {"test": table.positive}, record["classes"])}
    columns = [key for key in beside["cases (n)"] if key != "variable"]
    return [{**row, **{key: beside.get(row["variable"], {}).get(key, "") for key in columns}} for row in rows]


def _predictions(study: Study) -> list[dict[str, Any]]:
    """A row for each test case: its label, what the nomogram was given, and the probability by each model."""
    table, names = study.table, study.reading.record["names"]
    return [
        {
            "id": name,
            "label": int(table.positive[row]),
            **dict(zip(names, table.x[row].tolist(), strict=True)),
            **{model: f"{prob[row]:.9f}" for model, prob in study.probabilities.items()},
        }
        for row, name in enumerate(table.names)
    ]
