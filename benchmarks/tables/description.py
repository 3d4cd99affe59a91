"""What a card's table shows: read from docs/tables/<name>.yaml."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from benchmarks import ROOT
from benchmarks.tables.text import yaml_of

__all__ = ["FOLDER", "Line", "Table", "known", "read_table"]


FOLDER = ROOT / "docs" / "tables"
ENOUGH = 5  # seeds behind a mean and its SD


class Line(BaseModel, extra="forbid", frozen=True):
    """One row.

    Args:
        label: Its first cells.
        run: Name in the table's `runs`; none for a row of published numbers.
        row: What stands for `{row}` in the metrics of the table's columns, such as the first cell of a CSV's row.
        metrics: Metrics that this row shows in place of those of the table's columns, by column.
        show: `seeds`: mean ± SD over the seeds. `interval`: the first seed's value with its 95% interval, from
            `<metric>_low` and `<metric>_high`, for what does not depend on a seed. `ensemble`: AUC and ACC of the
            probabilities averaged over the seeds. `same`: the value, which must be that of every seed.
        published: Numbers from elsewhere, by column.
    """

    label: tuple[str, ...]
    run: str | None = None
    row: str = ""
    metrics: dict[str, str] = {}
    show: Literal["seeds", "interval", "ensemble", "same"] = "seeds"
    published: dict[str, float] = {}


class Table(BaseModel, extra="forbid", frozen=True):
    """A table of a card.

    Args:
        card: The page, from the root of the repository. It has `<!-- table: NAME -->` and `<!-- /table -->`.
        label: Headings of the first columns.
        columns: Metrics by heading: of `metrics.json`, or `<file>#<first cell of the row>#<column>` of a CSV.
            `{row}` in it is the `row` of each line.
        digits: Digits after the point by heading, 3 where none are given.
        runs: Words of `python train.py` by a name for each setting, without the seed. The first may be `-m <module>`,
            which is run in place of `train.py`: it takes the same words and writes `metrics.json`.
        seeds: Every setting is trained with each.
        rows: In order.
    """

    card: Path
    label: tuple[str, ...]
    columns: dict[str, str]
    digits: dict[str, int] = {}
    runs: dict[str, tuple[str, ...]] = {}
    seeds: tuple[int, ...] = Field(default=(1, 2, 3, 4, 5))
    rows: tuple[Line, ...]

    @model_validator(mode="after")
    def fits(self) -> "Table":
        """Names agree, and there are enough seeds."""
        for line in self.rows:
            if len(line.label) != len(self.label):
                raise ValueError(f"row {line.label}: expected {len(self.label)} labels")
            if (line.run is None) != bool(line.published):
                raise ValueError(f"row {line.label}: expected either run or published")
            for name in {*line.metrics, *line.published} - {*self.columns}:
                raise ValueError(f"row {line.label}: no column {name!r}")
            if line.run is not None and line.run not in self.runs:
                raise ValueError(f"row {line.label}: no run {line.run!r}")
            if line.run is not None and line.show in ("seeds", "ensemble") and len(self.seeds) < ENOUGH:
                raise ValueError(f"row {line.label}: a mean needs {ENOUGH} seeds or more")
        return self

    def jobs(self) -> Iterator[tuple[str, tuple[str, ...], int]]:
        """Name, words and seed of what is trained; where only intervals are shown, with the first seed alone."""
        for seed in self.seeds:
            for name, words in self.runs.items():
                shown = {line.show for line in self.rows if line.run == name}
                if shown and (seed == self.seeds[0] or shown != {"interval"}):
                    yield name, words, seed


def known() -> list[str]:
    """Names of all tables."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def read_table(name: str) -> Table:
    """A table by its name.

    Raises:
        ValueError: If there is none, or its file holds something unknown or contradictory; the message says what.
    """
    if name not in known():
        raise ValueError(f"no table {name!r}; choose from {', '.join(known())}")
    try:
        return Table.model_validate(yaml_of(FOLDER / f"{name}.yaml"))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"docs/tables/{name}.yaml: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
