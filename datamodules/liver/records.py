"""Patients of a cohort with several modalities, as files in the general layout.

    root/patients.csv (or .tsv, .xlsx)            id, clinical columns, label, time, event; optional `scanner`, `site`,
                                                  `split`
    root/<id>/{ct,t1,t2}.nii.gz                   CT in HU, T1- and T2-weighted MR; another format, or a folder of DICOM
    root/<id>/liver.nii.gz                        labels on the grid of the first image; images are cut around it
    root/<id>/tiles/*.png                         tiles of a slide
    root/genomics.tsv                             a row for each gene, a column for each patient, FPKM or TPM

Any file may be missing for any patient; patients without any file and clinical value are left out.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medzoo.datamodules import io
from medzoo.datamodules.io.pictures.pages import PICTURES
from medzoo.datamodules.liver.columns import Columns
from medzoo.datamodules.seen import SPLITS, mark

__all__ = ["IMAGES", "MODALITIES", "Outcome", "Patient", "read_patients"]

log = logging.getLogger(__name__)

IMAGES = {"ct": 1, "mr": 2, "histology": 3}
"""Image modalities and their channels."""
MODALITIES = (*IMAGES, "clinical", "genomics")
_MONTHS = 1200  # a hundred years; higher values are in days
_TELLING = 5  # this many numbers identify a patient


@dataclass(frozen=True)
class Outcome:
    """Columns of `patients.csv` to predict.

    Attributes:
        label: Column of the class, as a number from 0 on or as one of `class_names`. The column `event` if there are no
            classes: then whoever has no time has none.
        months: Column of the time to death or to the end of follow-up, in months; None without survival.
        event: Column that is 1 if the patient has died, else 0.
        order: Index of each class among those of a model; empty if the order is the same.
    """

    label: str
    class_names: tuple[str, ...]
    months: str | None = None
    event: str | None = None
    order: tuple[int, ...] = ()

    def read(self, row: Mapping[str, str], where: str) -> tuple[int, float, bool]:
        """Class (-1 unknown), months (NaN unknown) and event of a row.

        Months are NaN if either the time or the event is unknown.

        Raises:
            ValueError: If a cell holds an invalid value.
        """
        label = io.plain(row.get(self.label) or "")
        names = [name.casefold() for name in self.class_names]
        numbers = [str(place) for place in range(len(names))]
        if label in numbers:
            known = int(label)
        elif label.casefold() in names:
            known = names.index(label.casefold())
        elif io.is_missing(label):
            known = -1
        else:
            raise ValueError(f"{where}: {self.label} is '{label}'; expected {', '.join((*numbers, *self.class_names))}")
        known = self.order[known] if self.order and known >= 0 else known
        event = io.flag(row, self.event, where=where) if self.event else 0.0
        time = io.number(row, self.months, 0, _MONTHS, where=where) if self.months else math.nan
        if math.isnan(time) or math.isnan(event):
            return -1 if self.label == self.event else known, math.nan, False
        return known, time, event == 1

    def half_known(self, rows: Sequence[Mapping[str, str]]) -> str:
        """A warning about rows with an event and no time, or a time and no event; empty if there are none."""
        if not self.months or not self.event:
            return ""
        outcomes = [[row.get(key) or "" for key in (self.months, self.event)] for row in rows]
        dead = sum(io.plain(event) == "1" and io.is_missing(months) for months, event in outcomes)
        timed = sum(io.is_missing(event) and not io.is_missing(months) for months, event in outcomes)
        told = f"{dead} patients with {self.event} 1 have no {self.months}, {timed} with {self.months} have no "
        return f"{told}{self.event}: they are left out of survival" if dead or timed else ""


@dataclass(frozen=True)
class Patient:
    """The data of a patient.

    Attributes:
        id: Unique in the cohort.
        volumes: Files by `ct`, `t1`, `t2`, `liver`.
        tiles: Files, in order of name.
        clinical: (K,) values, NaN where missing.
        genes: (G,) expression in the order of the cohort's genes; None if not measured.
        label: Class, -1 if unknown.
        months: Months to death (`event`) or end of follow-up, NaN if unknown.
        scanner: Empty if unknown.
        site: The hospital, empty if unknown.
        split: `train`, `val` or `test`; empty if the table has none.
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
    site: str = ""
    split: str = ""

    @property
    def has(self) -> dict[str, bool]:
        """Whether the patient has each modality."""
        return {
            "ct": "ct" in self.volumes,
            "mr": "t1" in self.volumes or "t2" in self.volumes,
            "histology": bool(self.tiles),
            "clinical": bool(np.isfinite(self.clinical).any()),
            "genomics": self.genes is not None,
        }

    def has_any(self, modalities: Sequence[str]) -> bool:
        """Whether the patient has one of the modalities."""
        return any(self.has[name] for name in modalities)

    @property
    def telling(self) -> list[Path]:
        """Files that identify the patient: images and tiles, without labels."""
        return [*(file for name, file in self.volumes.items() if name != "liver"), *self.tiles]

    def marks(self, of_files: Sequence[int]) -> list[int]:
        """Marks of images, tiles, expression and clinical values that identify the patient.

        Args:
            of_files: Marks of the files `telling`.
        """
        volumes = len(of_files) - len(self.tiles)
        marks = [*of_files[:volumes]]
        if self.tiles:
            marks.append(mark(str(list(of_files[volumes:]))))
        if self.genes is not None and len(self.genes) >= _TELLING:
            marks.append(mark(self.genes))
        if np.isfinite(self.clinical).sum() >= _TELLING:
            marks.append(mark(self.clinical))
        return marks


def read_patients(root: Path, columns: Columns, outcome: Outcome) -> tuple[list[Patient], tuple[str, ...]]:
    """Read the patients of a cohort in order of its table, and the names of the genes, without opening images.

    Raises:
        FileNotFoundError: If there is no `patients.csv`.
        ValueError: If a cell is invalid, or an id occurs twice, is not a valid folder name, or is almost that of
            another table or folder.
    """
    file = io.find_table(root, "patients")
    rows = io.read_table(file).by("id")
    if told := outcome.half_known(list(rows.values())):
        log.warning("%s: %s", file, told)
    files = {path.name: (_volumes(path), _tiles(path)) for path in io.listed(root) if path.is_dir()}
    if strange := io.match_ids([name for name, found in files.items() if any(found)], rows, file):
        log.warning("%s: %d folders have no row, left out: %s", file, len(strange), io.some(strange))
    genes, expression = _read_genes(io.find_table(root, "genomics"))
    patients = []
    for name, row in rows.items():
        if Path(name).name != name or name in (".", ".."):
            raise ValueError(f"{file}: id '{name}' is no name of a folder; give letters, digits, - and _")
        label, months, event = outcome.read(row, row.where)
        split = row.get("split", "")
        if split not in ("", *SPLITS):
            raise ValueError(f"{row.where}: split is '{split}'; expected train, val or test")
        images = files.get(name, ({}, ()))
        tables = columns.parse(row, row.where), expression.get(name)
        places = row.get("scanner", ""), row.get("site", "")
        patients.append(Patient(name, *images, *tables, label, months, event, *places, split))
    if strange := io.match_ids(expression, rows, file):
        log.warning("genomics.tsv: %d of its columns are no patients of %s, left out", len(strange), file.name)
    return patients, genes


def _volumes(folder: Path) -> dict[str, Path]:
    return io.find_volumes(folder, ("ct", "t1", "t2", "liver"))


def _tiles(folder: Path) -> tuple[Path, ...]:
    tiles = folder / "tiles"
    return tuple(io.named(tiles, PICTURES).values()) if tiles.is_dir() else ()


def _read_genes(file: Path) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Names of genes, and expression (G,) by patient."""
    if not file.is_file():
        return (), {}
    genes, patients, values = io.read_matrix(file)
    if len(set(genes)) < len(genes):
        raise ValueError(f"{file}: a gene occurs twice; average them first")
    if (values < 0).any():
        raise ValueError(f"{file}: has negative values; expected FPKM or TPM, of which log2(x + 1) is taken")
    return tuple(genes), dict(zip(patients, values.astype(np.float32).T, strict=True))
