"""Tables of a nomogram's report with its prediction for each test case, and its calculator."""

from collections.abc import Sequence

from medzoo.callbacks.nomogram.study import Cases, Study
from medzoo.callbacks.output import Row
from medzoo.evaluation.figures import nomogram_html
from medzoo.evaluation.nomogram.reading import Reading
from medzoo.evaluation.nomogram.study import NOMOGRAM, equation, validation_rows
from medzoo.evaluation.regression.learners.comparators import model_rows
from medzoo.evaluation.scores.summary import table_one

__all__ = ["calculator", "nomogram_tables"]


def nomogram_tables(study: Study, notes: Sequence[str]) -> dict[str, Sequence[Row]]:
    """Rows by path of the CSV, without the TRIPOD+AI checklist.

    Args:
        study: The nomogram and the test cases.
        notes: What the module has to tell about its score.

    Returns:
        `test_*.csv`, and `predictions/cases.csv` where there are test cases.
    """
    reading, record = study.reading, study.reading.record
    tables: dict[str, Sequence[Row]] = {
        "test_0_nomogram.csv": _in_short(study, notes),
        "test_1_cases_by_split.csv": _cases_by_split(study),
        "test_2_odds_ratios.csv": record["odds"],
        "test_4_development_and_test.csv": validation_rows(record["optimism"], study.numbers),
        "test_5_points.csv": reading.nomogram.table(),
    }
    if study.table:
        readers, positive = study.table.readers, study.table.positive
        tables["test_3_models_and_readers.csv"] = model_rows(
            positive, study.probabilities, reading.thresholds, readers, NOMOGRAM
        )
        tables["predictions/cases.csv"] = _predictions(study.table, study)
    return tables


def calculator(reading: Reading) -> str:
    """The nomogram as a page that calculates."""
    return nomogram_html(
        reading.nomogram,
        title="Nomogram as a calculator",
        outcome=f"probability of {reading.outcome}",
        names=reading.titles,
        share=reading.share,
        positive=reading.outcome,
    )


def _in_short(study: Study, notes: Sequence[str]) -> Sequence[Row]:
    """Equation, threshold and warnings, for the top of the report."""
    reading = study.reading
    counts = ", ".join(f"{split} {n} ({events})" for split, (n, events) in reading.record["counts"].items())
    facts = [
        ("equation", equation(reading.model, reading.outcome)),
        ("probabilities hold", f"{reading.share_told}; the calculator and predict.py take another prevalence"),
        ("threshold", f"{reading.thresholds[NOMOGRAM]:.4f}, chosen on held-out predictions of development cases"),
        (f"development cases ({reading.outcome})", counts),
        *(("note", note) for note in [*notes, *reading.record["notes"]]),
    ]
    if study.table and not study.own:
        cases = f"{len(study.table.names)} cases, {int(study.table.positive.sum())} {reading.outcome}"
        facts.append(
            ("tested on", f"{cases}; equation, thresholds and comparators are those of the checkpoint, unchanged")
        )
    return [{"what": what, "said": text} for what, text in facts]


def _cases_by_split(study: Study) -> Sequence[Row]:
    """The table of the development cases, with columns of the test cases added."""
    record, table = study.reading.record, study.table
    rows = [dict(row) for row in record["cases"]]
    if not table:
        return rows
    values = {**dict(zip(record["names"], table.x.T, strict=True)), **table.candidates}
    beside = {row["variable"]: row for row in table_one({"test": values}, {"test": table.positive}, record["classes"])}
    columns = [key for key in beside["cases (n)"] if key != "variable"]
    return [{**row, **{key: beside.get(row["variable"], {}).get(key, "") for key in columns}} for row in rows]


def _predictions(table: Cases, study: Study) -> Sequence[Row]:
    """A row for each test case: its label, the predictors, and the probability by each model."""
    names = study.reading.record["names"]
    return [
        {
            "id": name,
            "label": int(table.positive[row]),
            **dict(zip(names, table.x[row].tolist(), strict=True)),
            **{model: f"{prob[row]:.9f}" for model, prob in study.probabilities.items()},
        }
        for row, name in enumerate(table.names)
    ]
