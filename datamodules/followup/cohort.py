"""Patients of the follow-up layout: which there are, and their scans with clinical variables and label."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from medzoo.datamodules.followup.clinical import CLINICAL, ClinicalRow, read_clinical, rows_of, scale_clinical
from medzoo.datamodules.followup.files import find_patients, thickness_table
from medzoo.datamodules.followup.scans import HU_WINDOW, TIMES, make_scans
from medzoo.datamodules.io import Grid, find_table
from medzoo.datamodules.store import Store, StoredArray
from medzoo.evaluation.measures.bleed import bleed_signs
from medzoo.evaluation.measures.expansion import ExpansionRule

__all__ = ["Found", "Patient", "find_cohort", "load_patients", "read_patient", "report_spacings"]

log = logging.getLogger(__name__)

Array = np.ndarray | StoredArray


@dataclass(frozen=True)
class Found:
    """A patient whose scans have not been read."""

    id: str  # patient id
    folder: Path  # folder of the files
    row: ClinicalRow | None  # of the clinical table

    @property
    def hospital(self) -> str:
        """Name of the hospital."""
        return self.folder.parent.name


@dataclass(frozen=True)
class Patient:
    """One patient, ready for batches, with scans in memory or on disk."""

    id: str  # patient id
    hospital: str  # name of the hospital
    clinical: np.ndarray  # (7,) in [0, 1] by the ranges of `CLINICAL`, NaN where unknown
    expansion: int  # 0 or 1, -1 if unknown
    baseline: Array  # (Z, 3, H, W) uint8
    followup: Array | None  # (Z, 3, H, W) uint8, None without a second scan
    holds: Mapping[str, np.ndarray]  # by time, (Z, 3) bool: whether a slice has brain, IPH, IVH
    iph_ml: Mapping[str, float]  # by time, volume of the IPH mask
    bone: float  # share of bone at baseline (`datamodules/skull.py`)
    grid: Grid  # of the baseline's files; arrays are the middle of it
    folder: Path  # folder of the files
    columns: dict[str, str]  # row of the clinical table as text; empty without one
    key: str = ""  # of the scans in the store

    @cached_property
    def signs(self) -> np.ndarray:
        """Signs of expansion (S,) float32 on the baseline scan, in [0, 1] (`evaluation/measures/bleed.py`)."""
        scan, (low, high) = np.asarray(self.baseline), HU_WINDOW
        hu = low + scan[:, 0] * np.float32((high - low) / 255)
        return bleed_signs(hu, scan[:, 1] > 0, self.grid.spacing).astype(np.float32)

    @classmethod
    def of(cls, found: Found, arrays: Mapping[str, Any], facts: Mapping[str, Any], key: str = "") -> "Patient":
        """The patient with what `make_scans` made.

        Without a row of the clinical table all variables are unknown, except the volume, which is measured.
        """
        row, volumes = found.row, facts["iph_ml"]
        values = np.full(len(CLINICAL), np.nan) if row is None else row.values.copy()
        where = list(CLINICAL).index("IPH_baseline_ml")
        if np.isnan(values[where]):
            values[where] = volumes[TIMES[0]]
        return cls(
            id=found.id,
            hospital=found.hospital,
            clinical=scale_clinical(values),
            expansion=_expansion(row, [*volumes.values()], found.id),
            baseline=arrays[TIMES[0]],
            followup=arrays.get(TIMES[1]),
            holds={time: np.array(each) for time, each in facts["holds"].items()},
            iph_ml=volumes,
            bone=facts["bone"],
            grid=Grid(tuple(facts["shape"]), np.array(facts["affine"])),
            folder=found.folder,
            columns={} if row is None else row.columns,
            key=key,
        )


def find_cohort(root: Path) -> list[Found]:
    """All patients below `root` that have both scans, in order of id.

    Raises:
        FileNotFoundError: If there are no patients, or no table.
        ValueError: If the table is invalid, or has no row for a patient.
    """
    folders, file = find_patients(root), find_table(root, "clinical")
    rows = rows_of(folders, read_clinical(file), file)
    unfinished = [name for name, folder in folders.items() if not (folder / TIMES[1]).is_dir()]
    if unfinished:
        log.warning("no follow-up, left out of training and test: %s", ", ".join(unfinished))
    names = sorted(set(folders) - set(unfinished))
    if not names:
        raise ValueError(f"no patient in {root} has both baseline and followup")
    if lacking := [name for name in names if name not in rows]:
        raise ValueError(f"{file} has no row for patient {lacking[0]} in {folders[lacking[0]]}")
    return [Found(name, folders[name], rows[name]) for name in names]


def load_patients(found: list[Found], image_size: int, store: Store) -> list[Patient]:
    """Patients whose scans are in the store, as images of H = W = `image_size`.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If a file is invalid; the message names it.
    """
    jobs = [store.job(one.id, make_scans, one.folder, _files(one.folder), image_size) for one in found]
    entries = store.fill(jobs, "patients")
    return [
        Patient.of(one, entry.arrays, entry.facts, job.key)
        for one, entry, job in zip(found, entries, jobs, strict=True)
    ]


def read_patient(folder: Path, name: str, row: ClinicalRow | None, image_size: int) -> Patient:
    """Read one patient from a folder with `baseline` and maybe `followup` into memory; see `make_scans`."""
    made = make_scans(folder, image_size)
    return Patient.of(Found(name, folder, row), made.arrays, made.facts)


def report_spacings(patients: list[Patient]) -> None:
    """Warn if in-plane pixel sizes differ between patients."""
    in_plane = np.array([patient.grid.spacing[1:] for patient in patients])
    if np.ptp(in_plane) > 0.05 * in_plane.mean():
        log.warning(
            "pixel sizes range from %.2f to %.2f mm; the networks see pixels, so prepare.py with "
            "preparation.in_plane_mm=%.2f would make them alike",
            in_plane.min(), in_plane.max(), np.median(in_plane),
        )  # fmt: skip


def _files(folder: Path) -> list[Path]:
    """What the scans of a patient are read from."""
    table = thickness_table(folder)
    return [*(folder / time for time in TIMES), *([table] if table.is_file() else [])]


def _expansion(row: ClinicalRow | None, volumes: list[float], name: str) -> int:
    """The label of the table, else that of the masks; if they disagree, the table wins and a warning is logged."""
    measured = int(ExpansionRule()(*volumes)) if len(volumes) > 1 else -1
    if row is None or row.expansion is None:
        return measured
    if measured not in (-1, row.expansion):
        told = "patient %s: Expansion_classic is %d, but IPH went from %.1f to %.1f mL"
        log.warning(told, name, row.expansion, *volumes)
    return row.expansion
