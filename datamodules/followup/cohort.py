"""Patients of the follow-up layout as arrays on disk: read and checked once, then mapped into memory.

A volume is kept as uint8 (Z, 3, H, W): CT from 0 to 100 HU in steps of 0.4 HU, a tenth of its noise, then IPH and IVH.
"""

import hashlib
import json
import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from datamodules.followup.clinical import CLINICAL, ClinicalRow, read_clinical, rows_of, scale_clinical
from datamodules.followup.files import Scan, find_patients, read_scan
from datamodules.io import Grid, check_same_grid, find_table

__all__ = ["HU_WINDOW", "Patient", "lesion_slices", "load_cohort", "read_patient", "save_array"]

log = logging.getLogger(__name__)

HU_WINDOW = (0.0, 100.0)
TIMES = ("baseline", "followup")
_MEASURED = "volumes by the affine, HU checked"  # of what is cached; another way to measure makes another cache
GROWTH_ML, GROWTH_RATIO = 6.0, 0.33  # expansion: at least one of the two (the "classic" definition)


@dataclass(frozen=True)
class Patient:
    """One patient, ready for batches.

    Attributes:
        id: Patient id.
        hospital: Name of the hospital.
        clinical: (7,) in [0, 1] by the ranges of `CLINICAL`, NaN where unknown.
        expansion: 0 or 1, -1 where it is not known.
        baseline: (Z, 3, H, W) uint8.
        followup: (Z, 3, H, W) uint8, none where there was no second scan.
        grid: Of the baseline's files, in which arrays lie in the middle.
        folder: Where the files lie.
        columns: Of the clinical table, as text; empty where there is none.
    """

    id: str
    hospital: str
    clinical: np.ndarray
    expansion: int
    baseline: np.ndarray
    followup: np.ndarray | None
    grid: Grid
    folder: Path
    columns: dict[str, str]


def load_cohort(root: Path, cache: Path, *, image_size: int) -> list[Patient]:
    """Read all patients below `root` that have both scans.

    Args:
        root: In the follow-up layout.
        cache: Folder for the arrays; what is there for the same files is taken as it is.
        image_size: H = W in pixels.

    Returns:
        Patients in order of id.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If a file or the table is not as it should be; the message names it.
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
    """Read one patient; the follow-up may be missing.

    Args:
        folder: Holds `baseline` and maybe `followup`.
        name: Patient id.
        row: Of the clinical table; none makes every variable unknown but the volume, which is measured.
        image_size: H = W in pixels.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If one is not as it should be, or the follow-up does not lie on the baseline's grid.
    """
    scans = [read_scan(folder / "baseline", image_size, need_iph=True)]
    if (folder / "followup").is_dir():
        scans.append(read_scan(folder / "followup", image_size, need_iph=False))
        try:
            check_same_grid(folder / "followup", scans[1].grid, folder / "baseline", scans[0].grid)
        except ValueError as error:
            raise ValueError(
                f"{folder}/followup: not on the grid of the baseline; prepare.py registers the two"
            ) from error
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


def lesion_slices(
    baseline: np.ndarray, spacing_z: float, margin_mm: float, *, whole_slices: bool = False
) -> np.ndarray:
    """(Z,) bool: slices with IPH at baseline, and those within a margin of one; only these are forecast.

    With `whole_slices` the margin is rounded up to slices, as in HemExp's code: 10 mm are 3 slices of 4 mm, not 2.
    """
    if whole_slices:
        margin_mm = math.ceil(margin_mm / spacing_z - 1e-6) * spacing_z
    with_bleed = np.flatnonzero(baseline[:, 1].any(axis=(1, 2)))
    distance = np.abs(np.arange(len(baseline))[:, None] - with_bleed[None]).min(1) * spacing_z
    return distance <= margin_mm + 1e-6


def save_array(file: Path, array: np.ndarray) -> None:
    """Write a `.npy`, all or nothing, however many processes write it at a time."""
    partial = file.with_name(f".{os.getpid()}.{file.name}")
    np.save(partial, array)
    partial.replace(file)


def _expansion(row: ClinicalRow | None, volumes: list[float], name: str) -> int:
    """The table's label, else that of the masks; a disagreement is told and the table wins."""
    measured = -1
    if len(volumes) > 1:
        growth = volumes[1] - volumes[0]
        measured = int(growth >= GROWTH_ML or growth >= GROWTH_RATIO * volumes[0])
    if row is None or row.expansion is None:
        return measured
    if measured not in (-1, row.expansion):
        log.warning(
            "patient %s: Expansion_classic is %d, but IPH went from %.1f to %.1f mL", name, row.expansion, *volumes
        )
    return row.expansion


def _to_uint8(scan: Scan) -> np.ndarray:
    low, high = HU_WINDOW
    ct = np.clip((scan.ct - low) / (high - low), 0, 1) * 255
    return np.stack([ct.round().astype(np.uint8), scan.iph * np.uint8(255), scan.ivh * np.uint8(255)], axis=1)


def _cached(folder: Path, name: str, row: ClinicalRow, cache: Path, image_size: int) -> Patient:
    """A patient from the cache, else read into it. The key covers path, size and time of every file."""
    files = sorted(path for path in folder.rglob("*.nii.gz"))
    stamp = [(os.path.realpath(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    facts = json.dumps([_MEASURED, stamp, image_size, row.values.tolist(), row.expansion])
    store = cache / hashlib.sha256(facts.encode()).hexdigest()[:16]
    if not (store / "patient.json").is_file():
        patient = read_patient(folder, name, row, image_size)
        store.mkdir(parents=True, exist_ok=True)
        for time in TIMES:
            save_array(store / f"{time}.npy", getattr(patient, time))
        grid = {"shape": patient.grid.file_shape, "affine": patient.grid.file_affine.tolist()}
        (store / "patient.json").write_text(
            json.dumps({"expansion": patient.expansion, **grid, "clinical": patient.clinical.tolist()})
        )
    known = json.loads((store / "patient.json").read_text())
    return Patient(
        id=name,
        hospital=folder.parent.name,
        clinical=np.array(known["clinical"], np.float32),
        expansion=known["expansion"],
        baseline=np.load(store / "baseline.npy", mmap_mode="r"),
        followup=np.load(store / "followup.npy", mmap_mode="r"),
        grid=Grid(tuple(known["shape"]), np.array(known["affine"])),
        folder=folder,
        columns=row.columns,
    )


def _report_spacings(patients: list[Patient]) -> None:
    """In-plane pixel sizes should be one size for all; say so when they are not."""
    in_plane = np.array([patient.grid.spacing[1:] for patient in patients])
    if np.ptp(in_plane) > 0.05 * in_plane.mean():
        log.warning(
            "pixel sizes range from %.2f to %.2f mm; the networks see pixels, so prepare.py with "
            "preparation.in_plane_mm=%.2f would make them alike",
            in_plane.min(), in_plane.max(), np.median(in_plane),
        )  # fmt: skip
