"""Patients of a cohort with several modalities, as files in the general layout.

    root/patients.csv (or .tsv, .xlsx)            id, clinical columns, label, time, event; `scanner`, `split` if wanted
    root/<id>/{ct,t1,t2}.nii.gz                   CT in HU, T1- and T2-weighted MR
    root/<id>/liver.nii.gz                        labels on the grid of the first image; images are cut around it
    root/<id>/tiles/*.png                         tiles of a slide
    root/genomics.tsv                             a row for each gene, a column for each patient, FPKM or TPM

Any of the files may be missing for any patient; who has none of them, and no clinical cell, is left out.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.io import (
    find_table,
    flag,
    hidden,
    is_missing,
    match_ids,
    named,
    number,
    plain,
    read_matrix,
    read_table,
    some,
    spelt,
)
from datamodules.io.pictures import PICTURES
from datamodules.liver.columns import Columns

__all__ = ["MODALITIES", "Outcome", "Patient", "read_patients"]

log = logging.getLogger(__name__)

MODALITIES = ("ct", "mr", "histology", "clinical", "genomics")
_MONTHS = 1200
"""A hundred years; more was given in days."""


@dataclass(frozen=True)
class Outcome:
    """Columns of `patients.csv` that are to be predicted.

    Attributes:
        label: Of the class, as a number from 0 on or as a name.
        class_names: In order.
        months: Of the time to death or to the end of follow-up, in months; none where there is no survival.
        event: Of 1 where the patient has died, else 0.
    """

    label: str
    class_names: tuple[str, ...]
    months: str | None = None
    event: str | None = None

    def read(self, row: Mapping[str, str], where: str) -> tuple[int, float, bool]:
        """Class (-1 unknown), months (NaN unknown) and event of a row.

        Of who is known to have died and not when, or was followed and nobody says whether to a death, nothing is known:
        the months are NaN.

        Raises:
            ValueError: If a cell says something else than it may.
        """
        label = plain(row.get(self.label) or "")
        names = [name.casefold() for name in self.class_names]
        numbers = [str(place) for place in range(len(names))]
        if label in numbers:
            known = int(label)
        elif label.casefold() in names:
            known = names.index(label.casefold())
        elif is_missing(label):
            known = -1
        else:
            raise ValueError(f"{where}: {self.label} is '{label}'; expected {', '.join((*numbers, *self.class_names))}")
        event = flag(row, self.event, where=where) if self.event else 0.0
        time = number(row, self.months, 0, _MONTHS, where=where) if self.months else math.nan
        if math.isnan(time) or math.isnan(event):
            return known, math.nan, False
        return known, time, event == 1

    def half_known(self, rows: Sequence[Mapping[str, str]]) -> str:
        """What to tell of rows with an event and no time, or a time and no event; empty where there are none."""
        if not self.months or not self.event:
            return ""
        said = [[row.get(key) or "" for key in (self.months, self.event)] for row in rows]
        dead = sum(plain(event) == "1" and is_missing(months) for months, event in said)
        timed = sum(is_missing(event) and not is_missing(months) for months, event in said)
        if not dead and not timed:
            return ""
        return (
            f"{dead} patients with {self.event} 1 have no {self.months}, {timed} with {self.months} have no "
            f"{self.event}: they are left out of survival"
        )


@dataclass(frozen=True)
class Patient:
    """What there is of a patient.

    Attributes:
        id: Unique in the cohort.
        volumes: Files by `ct`, `t1`, `t2`, `liver`.
        tiles: Files, in order of name.
        clinical: (K,) values, NaN where missing.
        genes: (G,) expression in the order of the cohort's genes; none where it was not measured.
        label: Class, -1 where unknown.
        months: Followed, NaN where unknown.
        event: Whether the patient died.
        scanner: Empty where the table does not say.
        split: Of `train`, `val`, `test`; empty where the table does not say.
    """

    id: str
    volumes: Mapping[str, Path]
    tiles: tuple[Path, ...]
    clinical: np.ndarray
    genes: np.ndarray | None
    label: int
    months: float
    event: bool
    scanner: str = ""
    split: str = ""

    @property
    def has(self) -> dict[str, bool]:
        """Whether each modality is there."""
        return {
            "ct": "ct" in self.volumes,
            "mr": "t1" in self.volumes or "t2" in self.volumes,
            "histology": bool(self.tiles),
            "clinical": bool(np.isfinite(self.clinical).any()),
            "genomics": self.genes is not None,
        }


def read_patients(root: Path, columns: Columns, outcome: Outcome) -> tuple[list[Patient], tuple[str, ...]]:
    """Read the tables of a cohort and list its files; no image is opened.

    Args:
        root: In the general layout.
        columns: Clinical predictors.
        outcome: What is predicted.

    Returns:
        Patients in order of the table, and the names of the genes.

    Raises:
        FileNotFoundError: If there is no `patients.csv`.
        ValueError: If a cell says something else than it may, an id stands twice, is no name of a folder, or is almost
            that of another table or folder.
    """
    file = find_table(root, "patients")
    rows = read_table(file).by("id")
    if told := outcome.half_known(list(rows.values())):
        log.warning("%s: %s", file, told)
    _check_folders(root, rows, file)
    genes, expression = _read_genes(find_table(root, "genomics"))
    patients = []
    for name, row in rows.items():
        where = row.where
        if Path(name).name != name or name in (".", ".."):
            raise ValueError(f"{file}: id '{name}' is no name of a folder; give letters, digits, - and _")
        label, months, event = outcome.read(row, where)
        split = row.get("split", "")
        if split not in ("", "train", "val", "test"):
            raise ValueError(f"{where}: split is '{split}'; expected train, val or test")
        patients.append(
            Patient(
                name,
                _volumes(root / name),
                _tiles(root / name / "tiles"),
                columns.parse(row, where),
                expression.get(name),
                label,
                months,
                event,
                row.get("scanner", ""),
                split,
            )
        )
    strange = match_ids(expression, rows, file)
    if strange:
        log.warning("genomics.tsv: %d of its columns are no patients of %s, left out", len(strange), file.name)
    return patients, genes


def _check_folders(root: Path, rows: Mapping[str, Mapping[str, str]], file: Path) -> None:
    """That no folder misses its row by the writing of an id; whom the table does not have at all is told."""
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not hidden(path)]
    strange = match_ids([path.name for path in folders if _volumes(path) or _tiles(path / "tiles")], rows, file)
    if strange:
        log.warning("%s: %d folders have no row, left out: %s", file, len(strange), some(strange))


def _volumes(folder: Path) -> dict[str, Path]:
    files = {name: spelt(folder / f"{name}.nii.gz") for name in ("ct", "t1", "t2", "liver")}
    return {name: file for name, file in files.items() if file.is_file()}


def _tiles(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    return tuple(named(folder, PICTURES).values())


def _read_genes(file: Path) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Names of genes, and by patient their expression (G,)."""
    if not file.is_file():
        return (), {}
    genes, patients, values = read_matrix(file)
    if len(set(genes)) < len(genes):
        raise ValueError(f"{file}: a gene stands in it twice; average them first")
    if (values < 0).any():
        raise ValueError(f"{file}: has negative values; expected FPKM or TPM, of which log2(x + 1) is taken")
    return tuple(genes), dict(zip(patients, values.astype(np.float32).T, strict=True))
