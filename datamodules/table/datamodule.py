"""A table of cases for a nomogram: an outcome and predictors, no images."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from medzoo.datamodules.base import BaseDataModule
from medzoo.datamodules.batches import BatchOptions, Ranks, ResumableBatches
from medzoo.datamodules.cases import Cases, CaseTable
from medzoo.datamodules.io import find_table, read_table
from medzoo.datamodules.phantoms.phantom import Phantom
from medzoo.datamodules.seen import SPLITS, mark, matched
from medzoo.datamodules.splits import stated
from medzoo.datamodules.table.columns import mostly_numbers, named, tells_outcome, unit_of
from medzoo.datamodules.table.rows import Rows

__all__ = ["TableBatches", "TableDataModule"]

log = logging.getLogger(__name__)

_NAMED = "'datamodule.predictors=[...]'"


class TableBatches(ResumableBatches):
    """Batches of `{"id": list[str], "x": (B, K) float64}`, and `label` (B,) int64 if known, in order."""

    def __init__(self, cases: Cases, predictors: Sequence[str], **options: int) -> None:
        super().__init__(**options)
        self.names, self.x = cases.names, torch.from_numpy(cases.matrix(predictors))
        self.label = None if cases.positive is None else torch.from_numpy(cases.positive.astype(np.int64))

    def plan(self, epoch: int) -> Sequence[Tensor]:
        """Every case once."""
        return self.ordered_plan(len(self.names))

    def batch(self, chosen: Tensor, index: int, epoch: int) -> dict[str, Any]:
        """Some cases."""
        batch: dict[str, Any] = {"id": [self.names[row] for row in chosen.tolist()], "x": self.x[chosen]}
        return batch if self.label is None else {**batch, "label": self.label[chosen]}


class TableDataModule(CaseTable, BaseDataModule):
    """Reads a table (CSV, TSV or XLSX) with a row for each case.

    With a column of splits, training and validation cases are for development and test cases for the test. Without it,
    all cases are for development. `evaluate.py` tests all cases of a table that the training has not seen.

    Args:
        file: The table; None for a phantom.
        root: Folder that holds the cohort of a phantom.
        phantom: Written to `root` where it is missing.
        case: Column of the cases' names; by default `case`, `id` or `patient`, else rows are numbered.
        outcome: Column of the diagnosis, 0 or 1, or two words.
        positive: The word for the diagnosis, if the outcome is two words.
        class_names: Names of both classes, the diagnosis last; by default made from `outcome` or `positive`.
        predictors: Columns, with or without their unit; by default all suitable ones.
        candidates: Further candidate predictors: they get univariable odds ratios and are counted.
        levels: The two values of a predictor that become 0 and 1, if they should not be sorted.
        missing: Whether a missing predictor is an error or is imputed.
        split: Column of `train`, `val` and `test`, if there is one.
        batch_size: Cases in a batch.

    Raises:
        ValueError: If there is neither file nor phantom, or a predictor is named twice or is the outcome.
    """

    layout = "datamodule.file to a CSV with a row for each case"
    task = "binary"

    def __init__(
        self,
        file: str | Path | None = None,
        *,
        root: str | Path | None = None,
        phantom: Phantom | None = None,
        case: str | None = None,
        outcome: str = "label",
        positive: str | None = None,
        class_names: Sequence[str] | None = None,
        predictors: Sequence[str] | None = None,
        candidates: Sequence[str] = (),
        levels: Mapping[str, Sequence[str]] | None = None,
        missing: Literal["refuse", "impute"] = "refuse",
        split: str = "split",
        batch_size: int = 256,
    ) -> None:
        if not file and not (phantom and root):
            raise ValueError("no file: name a CSV with a row for each case as datamodule.file")
        super().__init__(file or str(root), None if file else phantom)
        self.source = self.root / "cases.csv" if self.maker else self.root
        self.case, self.outcome, self.positive, self.missing = case, outcome, positive, missing
        self.split_column, self.batch_size = split, batch_size
        self._said_classes = class_names is not None
        names = class_names or ((f"not {positive}", positive) if positive else (f"no {outcome}", outcome))
        if len(names) != 2:
            raise ValueError(f"class_names={list(names)}: expected two, the diagnosis last")
        self.class_names = list(map(str, names))
        self.chosen = None if predictors is None else [named(name) for name in predictors]
        self.candidates = [named(name) for name in candidates]
        self.check_named_once([*(self.chosen or ()), *self.candidates])
        if named(outcome).lower() in (name.lower() for name in (*(self.chosen or ()), *self.candidates)):
            raise ValueError(f"{outcome} is the outcome: it cannot be a predictor of itself")
        self.levels = {named(name): (str(pair[0]), str(pair[1])) for name, pair in (levels or {}).items()}
        self.units: dict[str, str] = {}
        self.predictors: list[str] = list(self.chosen or ())
        self._learnt = False

    @property
    def split(self) -> dict[str, list[str]]:
        """Names of the cases of every split."""
        return {name: self.cases(name).names for name in SPLITS}

    def setup(self, stage: str | None = None) -> None:
        """Read and check the file, once."""
        if stage == "predict" or self._cases is not None:
            return
        table = self._read(self.source)
        positive = table.outcome(self.outcome, self.positive)
        self._choose(table, positive)
        wanted = [*self.predictors, *(name for name in self.candidates if name in table.columns)]
        values = {name: self._values(table, name) for name in wanted}
        names = [*table.by_case]
        truth = read_table(self.source.parent / "truth.csv").by("case") if self.maker else None
        probability = np.array([float(truth[name]["probability"]) for name in names]) if truth else None
        splits = self.divide(self._marks(table), lambda: self._stated(table), self.source)
        place = {case: name for name in SPLITS for case in splits[name]}
        cases = Cases(names, positive, [place.get(case, "") for case in names], values, {}, probability)
        self._cases = cases[np.flatnonzero([case in place for case in names])]
        self._check(self._cases)
        self._learnt = True

    def predict_dataloader(self) -> TableBatches:
        """The cases read by `set_predict_input`."""
        if self._predicted is None:
            raise ValueError("nothing to predict: call set_predict_input(path) first")
        return self._batches(self._predicted)

    def loader(self, split: str, *, training: bool = False, **ranks: Unpack[Ranks]) -> TableBatches:
        """Training and validation give all development cases, in order, since nothing is chosen by validation."""
        cases = self.cases("test") if split == "test" else self.cases("train", "val")
        return self._batches(cases if cases.names else self.cases("train", "val"), **ranks)

    def _batches(self, cases: Cases, **ranks: Unpack[Ranks]) -> TableBatches:
        options: BatchOptions = {"batch_size": self.batch_size, **self.ranks, **ranks}
        return TableBatches(cases, self.predictors, **options)

    def set_predict_input(self, path: str | Path) -> None:
        """Read cases to predict; the outcome is not needed.

        Args:
            path: A table with the predictors of the training, or a folder with such a `cases.csv`.
        """
        self._predicting, file = True, Path(path)
        table = self._read(find_table(file, "cases") if file.is_dir() else file)
        values, names = {name: self._values(table, name) for name in self.predictors}, [*table.by_case]
        self._predicted = Cases(names, None, ["predict"] * len(names), values, {})

    def state_dict(self) -> dict[str, Any]:
        """What reading another table needs; saved in every checkpoint."""
        return {
            "predictors": list(self.predictors),
            "levels": {name: list(pair) for name, pair in self.levels.items()},
            "units": dict(self.units),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load `state_dict`: use the predictors and levels of the training."""
        self.chosen = self.predictors = list(state_dict["predictors"])
        self.levels |= {name: (pair[0], pair[1]) for name, pair in state_dict["levels"].items()}
        self.units = dict(state_dict["units"])
        self._learnt = True

    def _stated(self, table: Rows) -> dict[str, list[str]]:
        """Cases of each split; all for development without a column of splits."""
        words = {case: row.get(self.split_column, "") for case, row in table.by_case.items()}
        return stated(words, self.source, self.split_column) or {"train": [*words], "val": [], "test": []}

    def _read(self, file: Path) -> Rows:
        table = Rows.read(file, self.case, self.split_column)
        for name in self.predictors if self._learnt else ():
            here, there = unit_of(table.columns.get(name, "")), self.units.get(name, "")
            if here and there and here.casefold() != there.casefold():
                raise ValueError(f"{file}: {name} is in {here}, and in the training it was in {there}; convert it")
        return table

    def _choose(self, table: Rows, positive: np.ndarray) -> None:
        """Choose the predictors: those named, or all suitable columns."""
        self.units |= {name: unit_of(column) for name, column in table.columns.items() if unit_of(column)}
        if self.chosen is not None:
            for name in self.chosen:
                if tells_outcome(self._values(table, name), positive):
                    raise ValueError(f"{name} is {self.outcome} in other words: it cannot be a predictor of it")
            self.predictors = self.chosen
            return
        left: dict[str, str] = {}
        for name in table.columns:
            if name == named(self.outcome) or name in self.candidates:
                continue
            try:
                values = self._values(table, name)
            except ValueError as error:
                if mostly_numbers([row[table.columns[name]] for row in table.by_case.values()]):
                    told = str(error).partition(";")[0]
                    raise ValueError(f"{told}; correct the cell, or name the predictors: {_NAMED}") from error
                left[name] = "words" if "which is not a number" in str(error) else str(error)
                continue
            known = np.unique(values[np.isfinite(values)])
            left[name] = "constant" if len(known) < 2 else self.outcome if tells_outcome(values, positive) else ""
        self.predictors = [name for name, why in left.items() if not why]
        self.levels = {name: pair for name, pair in self.levels.items() if name in self.predictors}
        if out := [f"{name} ({why})" for name, why in left.items() if why]:
            log.warning("%s: no predictors are %s", self.source, ", ".join(out))
        log.info("predictors: %s", ", ".join(self.predictors))

    def _values(self, table: Rows, name: str) -> np.ndarray:
        try:
            values, levels = table.numbers(name, self.levels.get(name), find=not self._learnt)
        except ValueError as error:
            raise ValueError(f"{table.file}: {error}") from error
        if levels:
            self.levels[name] = levels
        return values

    def use_classes(self, names: Sequence[str]) -> None:
        """Take the class names of a model, unless `class_names` was given; `outcome` decides which is the diagnosis."""
        if self._said_classes:
            matched(self.class_names, names, "classes")
        self.class_names = list(names)

    def _marks(self, table: Rows) -> dict[str, list[int]]:
        """Marks of each case by its name, outcome and predictors; many cases share the same values."""
        wanted = [table.columns[name] for name in (named(self.outcome), *self.predictors)]
        rows = table.by_case.items()
        return {case: [mark(str([case, *(row.get(column) for column in wanted)]))] for case, row in rows}

    def _check(self, cases: Cases) -> None:
        """Refuse cases that no regression can be fitted to or tested on."""
        if not self.predictors:
            raise ValueError(f"{self.source}: no column can be a predictor")
        cases.check_counts(self.class_names, self.source)
        developed = cases.of("train", "val")
        if developed.names:
            if self.missing == "refuse":
                developed.check_gaps(self.predictors, "fill them in, leave it out")
            developed.check_predictors(self.predictors)
