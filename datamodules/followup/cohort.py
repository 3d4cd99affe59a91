"""Patients of the follow-up layout: read and checked once, cached as arrays on disk, then memory-mapped.

A volume is kept as uint8 (Z, 3, H, W): CT from 0 to 100 HU in steps of 0.4 HU, a tenth of its noise, then IPH and IVH.
"""

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from medzoo.datamodules.followup.clinical import CLINICAL, ClinicalRow, read_clinical, rows_of, scale_clinical
from medzoo.datamodules.followup.files import Scan, find_patients, read_scan
from medzoo.datamodules.io import Grid, check_same_grid, find_table, listed, read_json
from medzoo.datamodules.io.arrays import mapped
from medzoo.evaluation.measures.expansion import ExpansionRule
from medzoo.files import replacing

__all__ = ["HU_WINDOW", "Patient", "load_cohort", "read_patient", "save_array"]

log = logging.getLogger(__name__)

HU_WINDOW = (0.0, 100.0)
TIMES = ("baseline", "followup")
_MEASURED = "volumes by the affine, HU checked, ExpansionRule"  # part of the cache's key


@dataclass(frozen=True)
class Patient:
    """One patient, ready for batches."""

    id: str  # patient id
    hospital: str  # name of the hospital
    clinical: np.ndarray  # (7,) in [0, 1] by the ranges of `CLINICAL`, NaN where unknown
    expansion: int  # 0 or 1, -1 if unknown
    baseline: np.ndarray  # (Z, 3, H, W) uint8
    followup: np.ndarray | None  # (Z, 3, H, W) uint8, None without a second scan
    grid: Grid  # of the baseline's files; arrays are the middle of it
    folder: Path  # folder of the files
    columns: dict[str, str]  # row of the clinical table as text; empty without one


def load_cohort(root: Path, cache: Path, *, image_size: int) -> list[Patient]:
    """Read all patients below `root` that have both scans, in order of id, as images of H = W = `image_size`.

    Arrays are cached in the folder `cache` and reused for unchanged files.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If a file or the table is invalid; the message names it.
    """
    folders, file = find_patients(root), find_table(root, "clinical")
    rows = rows_of(folders, read_clinical(file), file)
    unfinished = [name for name, folder in folders.items() if not (folder / "followup").is_dir()]
    if unfinished:
        log.warning("no follow-up, left out of training and test: %s", ", ".join(unfinished))
    patients = []
    for name in track(sorted(set(folders) - set(unfinished)), "reading patients", transient=True):
        if name not in rows:
            raise ValueError(f"{file} has no row for patient {name} in {folders[name]}")
        patients.append(_cached(folders[name], name, rows[name], cache, image_size))
    if not patients:
        raise ValueError(f"no patient in {root} has both baseline and followup")
    _report_spacings(patients)
    return patients


def read_patient(folder: Path, name: str, row: ClinicalRow | None, image_size: int) -> Patient:
    """Read one patient from a folder with `baseline` and maybe `followup`, as images of H = W = `image_size`.

    Without a row of the clinical table all variables are unknown, except the volume, which is measured.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If a file is invalid, or the follow-up is not on the baseline's grid.
    """
    scans = [read_scan(folder / "baseline", image_size, need_iph=True)]
    if (folder / "followup").is_dir():
        scans.append(read_scan(folder / "followup", image_size, need_iph=False))
        try:
            check_same_grid(folder / "followup", scans[1].grid, folder / "baseline", scans[0].grid)
        except ValueError as error:
            told = "not on the grid of the baseline; prepare.py registers the two"
            raise ValueError(f"{folder}/followup: {told}") from error
    volumes = [float(scan.iph.sum() * np.prod(scan.grid.spacing[::-1]) / 1000) for scan in scans]
    values = np.full(len(CLINICAL), np.nan) if row is None else row.values.copy()
    where = list(CLINICAL).index("IPH_baseline_ml")
    if np.isnan(values[where]):
        values[where] = volumes[0]
    return Patient(
        id=name,
        hospital=folder.parent.name,
        clinical=scale_clinical(values),
        expansion=_expansion(row, volumes, name),
        baseline=_to_uint8(scans[0]),
        followup=_to_uint8(scans[1]) if len(scans) > 1 else None,
        grid=scans[0].grid,
        folder=folder,
        columns={} if row is None else row.columns,
    )


def save_array(file: Path, array: np.ndarray) -> None:
    """Write a `.npy` in one step; several processes may write it at once."""
    with replacing(file) as partial:
        np.save(partial, array)


def _expansion(row: ClinicalRow | None, volumes: list[float], name: str) -> int:
    """The label of the table, else that of the masks; if they disagree, the table wins and a warning is logged."""
    measured = int(ExpansionRule()(*volumes)) if len(volumes) > 1 else -1
    if row is None or row.expansion is None:
        return measured
    if measured not in (-1, row.expansion):
        told = "patient %s: Expansion_classic is %d, but IPH went from %.1f to %.1f mL"
        log.warning(told, name, row.expansion, *volumes)
    return row.expansion


def _to_uint8(scan: Scan) -> np.ndarray:
    low, high = HU_WINDOW
    ct = np.clip((scan.ct - low) / (high - low), 0, 1) * 255
    return np.stack([ct.round().astype(np.uint8), scan.iph * np.uint8(255), scan.ivh * np.uint8(255)], axis=1)


def _cached(folder: Path, name: str, row: ClinicalRow, cache: Path, image_size: int) -> Patient:
    """A patient from the cache, else read into it. The key covers path, size and time of every file."""
    files = [path for path in listed(folder, "**/*") if path.is_file()]
    stamp = [(os.path.realpath(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    facts = json.dumps([_MEASURED, stamp, image_size, row.values.tolist(), row.expansion])
    store = cache / hashlib.sha256(facts.encode()).hexdigest()[:16]
    if not (store / "patient.json").is_file():
        patient = read_patient(folder, name, row, image_size)
        for time in TIMES:
            save_array(store / f"{time}.npy", getattr(patient, time))
        grid = {"shape": patient.grid.file_shape, "affine": patient.grid.file_affine.tolist()}
        facts = json.dumps({"expansion": patient.expansion, **grid, "clinical": patient.clinical.tolist()})
        (store / "patient.json").write_text(facts)
    known = read_json(store / "patient.json")
    return Patient(
        id=name,
        hospital=folder.parent.name,
        clinical=np.array(known["clinical"], np.float32),
        expansion=known["expansion"],
        **{time: mapped(store / f"{time}.npy") for time in TIMES},
        grid=Grid(tuple(known["shape"]), np.array(known["affine"])),
        folder=folder,
        columns=row.columns,
    )


def _report_spacings(patients: list[Patient]) -> None:
    """Warn if in-plane pixel sizes differ between patients."""
    in_plane = np.array([patient.grid.spacing[1:] for patient in patients])
    if np.ptp(in_plane) > 0.05 * in_plane.mean():
        log.warning(
            "pixel sizes range from %.2f to %.2f mm; the networks see pixels, so prepare.py with "
            "preparation.in_plane_mm=%.2f would make them alike",
            in_plane.min(), in_plane.max(), np.median(in_plane),
        )  # fmt: skip
