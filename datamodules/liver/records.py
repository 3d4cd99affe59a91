"""Patients of a cohort with several modalities, as files in the general layout.

    root/patients.csv                             id, clinical columns, label, time, event; `scanner`, `split` if wanted
    root/<id>/{ct,t1,t2}.nii.gz                   CT in HU, T1- and T2-weighted MR
    root/<id>/liver.nii.gz                        labels on the grid of the first image; images are cut around it
    root/<id>/tiles/*.png                         tiles of a slide
    root/genomics.tsv                             a row for each gene, a column for each patient, FPKM or TPM

Any of the files may be missing for any patient; who has none of them, and no clinical cell, is left out.
"""

import csv
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.io import named
from datamodules.io.pictures import PICTURES
from datamodules.liver.columns import MISSING, Columns

__all__ = ["MODALITIES", "Outcome", "Patient", "read_patients", "read_rows"]

log = logging.getLogger(__name__)

MODALITIES = ("ct", "mr", "histology", "clinical", "genomics")


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
        label = (row.get(self.label) or "").strip()
        months = (row.get(self.months) or "").strip() if self.months else ""
        event = (row.get(self.event) or "").strip() if self.event else ""
        names = [name.casefold() for name in self.class_names]
        numbers = [str(number) for number in range(len(names))]
        if label.lower() in MISSING:
            known = -1
        elif label.casefold() in names or label in numbers:
            known = numbers.index(label) if label in numbers else names.index(label.casefold())
        else:
            raise ValueError(f"{where}: {self.label} is '{label}'; expected {', '.join((*numbers, *self.class_names))}")
        if event.lower() not in (*MISSING, "0", "1"):
            raise ValueError(f"{where}: {self.event} is '{event}'; expected 0 or 1")
        try:
            time = math.nan if months.lower() in MISSING else float(months)
        except ValueError:
            raise ValueError(f"{where}: {self.months} is '{months}', which is no number of months") from None
        if time < 0 or math.isinf(time):
            raise ValueError(f"{where}: {self.months} is {time:g}; a time cannot be negative or infinite")
        if math.isnan(time) or (self.event and event.lower() in MISSING):
            return known, math.nan, False
        return known, time, event == "1"

    def half_known(self, rows: Sequence[Mapping[str, str]]) -> str:
        """What to tell of rows with an event and no time, or a time and no event; empty where there are none."""
        if not self.months or not self.event:
            return ""
        said = [[(row.get(key) or "").strip().lower() for key in (self.months, self.event)] for row in rows]
        dead = sum(event == "1" and months in MISSING for months, event in said)
        timed = sum(event in MISSING and months not in MISSING for months, event in said)
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
        ValueError: If a cell says something else than it may, an id stands twice or is no name of a folder.
    """
    file = root / "patients.csv"
    rows = read_rows(file)
    if told := outcome.half_known(rows):
        log.warning("%s: %s", file, told)
    genes, expression = _read_genes(root / "genomics.tsv")
    patients, seen = [], set()
    for row in rows:
        name = (row.get("id") or "").strip()
        where = f"{file}, patient {name}"
        if not name or Path(name).name != name or name in (".", ".."):
            raise ValueError(f"{file}: id '{name}' is no name of a folder; give letters, digits, - and _")
        if name in seen:
            raise ValueError(f"{file}: patient {name} stands in it twice")
        seen.add(name)
        label, months, event = outcome.read(row, where)
        split = (row.get("split") or "").strip()
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
                (row.get("scanner") or "").strip(),
                split,
            )
        )
    strange = sorted(set(expression) - seen)
    if strange:
        log.warning("genomics.tsv: %d of its columns are no patients of patients.csv, left out", len(strange))
    return patients, genes


def read_rows(file: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """Rows of a table with a header, whose names are stripped; a byte-order mark is no part of the first.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is empty or no text.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no {file}: expected a table with a row for each patient")
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            rows = [
                {(key or "").strip(): value for key, value in row.items()}
                for row in csv.DictReader(opened, delimiter=delimiter)
            ]
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    if not rows:
        raise ValueError(f"{file}: has no rows")
    return rows


def _volumes(folder: Path) -> dict[str, Path]:
    files = {name: folder / f"{name}.nii.gz" for name in ("ct", "t1", "t2", "liver")}
    return {name: file for name, file in files.items() if file.is_file()}


def _tiles(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    return tuple(named(folder, PICTURES).values())


def _read_genes(file: Path) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Names of genes, and by patient their expression (G,)."""
    if not file.is_file():
        return (), {}
    with file.open(encoding="utf-8-sig") as opened:
        names = opened.readline().rstrip("\r\n").split("\t")[1:]
        lines = [line.rstrip("\r\n").split("\t") for line in opened if line.strip()]
    genes = tuple(line[0] for line in lines)
    if len(set(genes)) < len(genes) or len(set(names)) < len(names):
        raise ValueError(f"{file}: a gene or a patient stands in it twice; average them first")
    return genes, dict(zip(names, _numbers(file, lines, len(names)).T, strict=True))


def _numbers(file: Path, lines: Sequence[Sequence[str]], count: int) -> np.ndarray:
    """(G, patients); a cell without a number is NaN."""
    values = np.empty((len(lines), count), np.float32)
    for row, line in enumerate(lines):
        if len(line) != count + 1:
            raise ValueError(f"{file}: {line[0]} has {len(line) - 1} values for {count} patients")
        try:
            values[row] = [math.nan if cell.strip().lower() in MISSING else float(cell) for cell in line[1:]]
        except ValueError as error:
            raise ValueError(f"{file}: {line[0]}: {error}") from None
    if (values < 0).any():
        raise ValueError(f"{file}: has negative values; expected FPKM or TPM, of which log2(x + 1) is taken")
    return values
