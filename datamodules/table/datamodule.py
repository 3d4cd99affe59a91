"""A table of cases for a nomogram: nothing but an outcome and predictors."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from datamodules.base import BaseDataModule
from datamodules.batches import ResumableBatches
from datamodules.fetal_heart.files import Cases
from datamodules.io import find_table, read_table
from datamodules.phantoms.phantom import Phantom
from datamodules.seen import SPLITS, mark, matched
from datamodules.splits import stated
from datamodules.table.batches import TableBatches
from datamodules.table.columns import mostly_numbers, named, numbers_of, tells_outcome, unit_of
from datamodules.table.rows import Rows, outcome_of, read_rows
from evaluation.predictors import check_predictors

__all__ = ["TableDataModule"]

log = logging.getLogger(__name__)


class TableDataModule(BaseDataModule):
    """Reads a table (CSV, TSV or XLSX) with a row for each case.

    Where there is a column of splits, its training and validation cases are for the development and its test cases for
    the test. Where there is none, all cases are for the development. Of a table that is given to `evaluate.py` all
    cases are tested that the training never saw.

    Args:
        file: The table; of a phantom, none.
        root: Folder that holds the cohort of a phantom.
        phantom: Written to `root` where it is missing.
        case: Column of the cases' names; by default `case`, `id` or `patient`, or rows are numbered.
        outcome: Column of the diagnosis, 0 or 1, or two words.
        positive: Which of two words is the diagnosis.
        class_names: Of both classes, the diagnosis last; by default after `outcome` or `positive`.
        predictors: Columns, with their unit or without it; by default all that can be one.
        candidates: Further ones that were looked at: they get odds ratios of their own and are counted.
        levels: The two values of a predictor in the order of 0 and 1, where they should not be sorted.
        missing: Whether a missing predictor is an error or is imputed.
        split: Column of `train`, `val` and `test`, used where there is one.
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
        self._check_names([*(self.chosen or ()), *self.candidates])
        self.levels = {named(name): (str(pair[0]), str(pair[1])) for name, pair in (levels or {}).items()}
        self.units: dict[str, str] = {}
        self.predictors: list[str] = list(self.chosen or ())
        self._learnt = False
        self._file = self.source  # that is read, for messages
        self._cases: Cases | None = None
        self._predicted: Cases | None = None

    @property
    def num_classes(self) -> int:
        """Two."""
        return 2

    @property
    def split(self) -> dict[str, list[str]]:
        """Names of the cases of every split."""
        return {name: self.cases(name).names for name in SPLITS}

    def cases(self, *splits: str) -> Any:
        """The cases of some splits, after `setup`; of `predict`, those that were given."""
        if splits == ("predict",):
            return self._predicted
        assert self._cases is not None
        return self._cases[np.flatnonzero(np.isin(self._cases.split, splits))]

    def setup(self, stage: str | None = None) -> None:
        """Read the file, once, and check it."""
        if stage == "predict" or self._cases is not None:
            return
        table, columns = self._read(self.source)
        positive = outcome_of(table, columns, self.outcome, self.positive, self.source)
        self._choose(table, columns, positive)
        wanted = [*self.predictors, *self.candidates]
        values = {name: self._values(table, columns, name) for name in wanted if name in columns or self._needs(name)}
        truth = self.source.parent / "truth.csv" if self.maker else None
        known = read_table(truth).by("case") if truth else {}
        probability = np.array([float(known[name]["probability"]) for name in table]) if known else None
        splits = self.divide(self._marks(table, columns), lambda: self._stated(table), self.source)
        place = {case: name for name in SPLITS for case in splits[name]}
        cases = Cases([*table], positive, [place.get(case, "") for case in table], values, {}, probability)
        self._cases = cases[np.flatnonzero([case in place for case in table])]
        self._check()
        self._learnt = True

    def train_dataloader(self) -> ResumableBatches:
        """The development cases, in order."""
        return self._batches(self.cases("train", "val"))

    def val_dataloader(self) -> ResumableBatches:
        """The same: nothing is chosen by them."""
        return self.train_dataloader()

    def test_dataloader(self) -> ResumableBatches:
        """The test cases; where there are none the development cases, which are then not judged."""
        cases = self.cases("test")
        return self._batches(cases) if cases.names else self.train_dataloader()

    def predict_dataloader(self) -> ResumableBatches:
        """The cases that were read by `set_predict_input`."""
        if self._predicted is None:
            raise ValueError("nothing to predict on: call set_predict_input(path) first")
        return self._batches(self._predicted)

    def set_predict_input(self, path: str | Path) -> None:
        """Read cases to predict, whose outcome need not be known.

        Args:
            path: A table with the predictors of the training, or a folder with such a `cases.csv`.
        """
        self._predicting, file = True, Path(path)
        table, columns = self._read(find_table(file, "cases") if file.is_dir() else file)
        values = {name: self._values(table, columns, name) for name in self.predictors}
        self._predicted = Cases([*table], None, ["predict"] * len(table), values, {})

    def state_dict(self) -> dict[str, Any]:
        """What other tables are read by; part of every checkpoint."""
        return {
            "predictors": list(self.predictors),
            "levels": {name: list(pair) for name, pair in self.levels.items()},
            "units": dict(self.units),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over `state_dict`: the predictors and their levels are those of the training."""
        self.chosen = self.predictors = list(state_dict["predictors"])
        self.levels |= {name: (pair[0], pair[1]) for name, pair in state_dict["levels"].items()}
        self.units = dict(state_dict["units"])
        self._learnt = True

    def _stated(self, table: Rows) -> dict[str, list[str]]:
        """Cases of each split; all for the development where no column says it."""
        said = {case: (row.get(self.split_column) or "").strip() for case, row in table.items()}
        return stated(said, self.source, self.split_column) or {"train": [*table], "val": [], "test": []}

    def _read(self, file: Path) -> tuple[Rows, dict[str, str]]:
        self._file = file
        table, columns = read_rows(file, self.case, self.split_column)
        for name in self.predictors if self._learnt else ():
            here, there = unit_of(columns.get(name, "")), self.units.get(name, "")
            if here and there and here.casefold() != there.casefold():
                raise ValueError(f"{file}: {name} is in {here}, and in the training it was in {there}; convert it")
        return table, columns

    def _choose(self, table: Rows, columns: Mapping[str, str], positive: np.ndarray) -> None:
        """The predictors: those that were named, or all columns that can be one."""
        self.units |= {name: unit_of(column) for name, column in columns.items() if unit_of(column)}
        if self.chosen is not None:
            for name in self.chosen:
                if tells_outcome(self._values(table, columns, name), positive):
                    raise ValueError(f"{name} is {self.outcome} in other words: it cannot be a predictor of it")
            self.predictors = self.chosen
            return
        left: dict[str, str] = {}
        for name in columns:
            if name == named(self.outcome) or name in self.candidates:
                continue
            try:
                values = self._values(table, columns, name)
            except ValueError as error:
                if mostly_numbers([row[columns[name]] for row in table.values()]):
                    raise
                left[name] = "words" if "which is no number" in str(error) else str(error)
                continue
            known = np.unique(values[np.isfinite(values)])
            left[name] = "constant" if len(known) < 2 else self.outcome if tells_outcome(values, positive) else ""
        self.predictors = [name for name, why in left.items() if not why]
        self.levels = {name: pair for name, pair in self.levels.items() if name in self.predictors}
        if out := [f"{name} ({why})" for name, why in left.items() if why]:
            log.warning("%s: no predictors are %s", self.source, ", ".join(out))
        log.info("predictors: %s", ", ".join(self.predictors))

    def _needs(self, name: str) -> bool:
        """A predictor that the table lacks is an error; a further candidate only of a development."""
        return name in self.predictors

    def _values(self, table: Rows, columns: Mapping[str, str], name: str) -> np.ndarray:
        if name not in columns:
            raise ValueError(f"no column {name}; there are {', '.join(columns)}")
        cells = [row[columns[name]] for row in table.values()]
        comma = any(columns[name] in row.commas for row in table.values())
        known = self.levels.get(name)
        try:
            values, levels = numbers_of(cells, name, [*table], known, find=not self._learnt, comma=comma)
        except ValueError as error:
            raise ValueError(f"{self._file}: {error}") from error
        if levels:
            self.levels[name] = levels
        return values

    def use_classes(self, names: Sequence[str]) -> None:
        """Take the names of a model's classes, unless others were given: which is the diagnosis, `outcome` says."""
        if self._said_classes:
            matched(self.class_names, names, "classes")
        self.class_names = list(names)

    def _marks(self, table: Rows, columns: Mapping[str, str]) -> dict[str, list[int]]:
        """Of each case, its name with its outcome and predictors: values alone are shared by many."""
        wanted = [columns[name] for name in (named(self.outcome), *self.predictors)]
        return {case: [mark(str([case, *(row.get(column) for column in wanted)]))] for case, row in table.items()}

    def _check_names(self, names: Sequence[str]) -> None:
        if len({*names}) < len(names):
            raise ValueError(f"predictors and candidates name one twice: {', '.join(names)}")
        if named(self.outcome).lower() in (name.lower() for name in names):
            raise ValueError(f"{self.outcome} is the outcome: it cannot be a predictor of itself")

    def _check(self) -> None:
        """What no regression can be fitted to, or judged on, is told now."""
        if not self.predictors:
            raise ValueError(f"{self.source}: no column can be a predictor")
        for part, splits, least in (("development", ("train", "val"), 3), ("test", ("test",), 1)):
            cases = self.cases(*splits)
            sick = int(cases.positive.sum())
            if cases.names and min(sick, len(cases.names) - sick) < least:
                counts = f"{len(cases.names) - sick} {self.class_names[0]} and {sick} {self.class_names[1]}"
                raise ValueError(f"{self.source}: {counts} {part} cases; at least {least} of each are needed")
        developed = self.cases("train", "val")
        if not developed.names:
            return
        x = np.stack([developed.values[name] for name in self.predictors], axis=1)
        for name, column in zip(self.predictors, x.T, strict=True):
            gaps = int(np.isnan(column).sum())
            if gaps and self.missing == "refuse":
                told = f"missing in {gaps} of {len(column)} cases"
                raise ValueError(f"{name}: {told}; mend them, leave it out, or set datamodule.missing=impute")
        known = ~np.isnan(x).any(1)
        check_predictors(x[known], developed.positive[known], self.predictors)

    def _batches(self, cases: Cases) -> TableBatches:
        x = np.stack([cases.values[name] for name in self.predictors], axis=1)
        return TableBatches(torch.from_numpy(x), cases.names, cases.positive, self.batch_size, **self.ranks)
