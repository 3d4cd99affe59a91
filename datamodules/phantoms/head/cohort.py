"""Writes the head cohort as files: NIfTI pairs, clinical.csv, and the ground truth.

| file in the root | what |
|---|---|
| `<hospital>/<patient>/{baseline,followup}/{ct,iph,ivh}.nii.gz` | CT in HU, masks of 0 and 1 |
| `clinical.csv` | the seven variables and the label, as a real cohort has them |
| `truth.csv` | known only for phantoms: probability of expansion, volumes, midline shift, location |
| `README.txt` | units and the causal model |
| `phantom.json` | seed, version and arguments; marks the folder as synthetic and complete |
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from rich.progress import track

from medzoo.datamodules.phantoms.head import causal
from medzoo.datamodules.phantoms.head import signs as model_of_signs
from medzoo.datamodules.phantoms.head.patient import Patient, simulate
from medzoo.datamodules.phantoms.head.rendering import Scan
from medzoo.datamodules.phantoms.head.scanner import hospital_scanner
from medzoo.datamodules.phantoms.writing import appearing, is_there, pool, write_table

__all__ = ["VERSION", "cohort_name", "write_head_cohort"]

VERSION = 2
"""Increased when a change of the generator changes its files."""

_UNITS = """\
Synthetic head CT pairs: no person was scanned.

clinical.csv
  time_from_onset_to_CT  hours from onset to the baseline CT
  IPH_baseline_ml        intraparenchymal volume at baseline, mL, counted in the baseline mask
  Anticoagulant, Antiplatelet  0 or 1
  Age years, GCS 3 to 15, Systolic mmHg
  Expansion_classic      1 where the IPH grows by at least 6 mL or 33%, counted in the masks
truth.csv
  p_expansion            probability of expansion that the causal model gives the clinical row and the signs
  mottled, spot, blend, swirl, irregular  1 where the bleed shows the sign, if signs are drawn
  *_ml                   volumes of the masks; *_midline_shift_mm true shift of the septum, away from the bleed
Images: HU (int16), RAS+ mm; masks 0 and 1.

"""


def write_head_cohort(
    root: str | Path,
    *,
    patients: Mapping[str, int] | Sequence[int],
    image_size: int = 64,
    spacing_mm: float = 3.0,
    slices: int = 14,
    seed: int = 0,
    skull: bool = False,
    signs: str | None = None,
    workers: int = 1,
) -> None:
    """Write a cohort, unless the same one is already there.

    A patient depends on `seed`, the hospital's name and position, and the patient's number, but not on how many
    patients there are.

    Args:
        root: Folder to write; it appears only when complete.
        patients: Number of patients of each hospital, by name, or as a list (then named hospital_1, hospital_2, ...).
            The hospitals differ in noise, shading and slice thickness (`scanner.SCANNERS`, in order).
        image_size: Voxels along x and y; 64 x 3 mm, 96 x 2 mm and 384 x 0.5 mm cover the whole brain.
        spacing_mm: Voxel spacing along x and y.
        slices: Number of slices of 5 mm; with another thickness, more or fewer slices cover the same height.
        seed: Seed of the cohort.
        skull: Whether scalp, skull and air are rendered, as from a scanner; else 0 HU outside the brain, as prepared.
        signs: Signs of expansion that scans show (`signs.py`): mottled, published or confounded; None for none.
        workers: Number of processes.

    Raises:
        ValueError: If counts, sizes or spacings cannot give a head.
        FileExistsError: If `root` holds something else.
    """
    root = Path(root)
    counts = _named(patients)
    image: dict[str, Any] = {"image_size": image_size, "spacing_mm": spacing_mm, "slices": slices, "skull": skull}
    image |= {"signs": signs} if signs else {}
    _check(counts, image_size, spacing_mm, slices, workers)
    record = {"phantom": "head", "version": VERSION, "seed": seed, "patients": counts, **image}
    if is_there(root, record):
        return
    jobs = [(name, place, index) for place, (name, count) in enumerate(counts.items()) for index in range(count)]
    with appearing(root) as folder:
        write = partial(_write_patient, folder, seed, image)
        with pool(workers) as run:
            done = track(run(write, jobs), "head phantoms", total=len(jobs), disable=len(jobs) < 20, transient=True)
            rows = list(done)
        for file, part in (("clinical.csv", 0), ("truth.csv", 1)):
            write_table(folder / file, [row[part] for row in rows])
        (folder / "README.txt").write_text(f"{_UNITS}{causal.__doc__}\n{model_of_signs.__doc__}")
        (folder / "phantom.json").write_text(json.dumps(record, indent=2) + "\n")


def cohort_name(
    patients: Mapping[str, int],
    *,
    image_size: int,
    spacing_mm: float,
    slices: int,
    seed: int,
    skull: bool = False,
    signs: str | None = None,
) -> str:
    """A folder name that is unique for these arguments of `write_head_cohort`."""
    sizes = "_".join(f"{name}{count}" for name, count in patients.items())
    more = "_skull" * skull + (f"_{signs}" if signs else "")
    return f"head_{sizes}_{image_size}px_{spacing_mm:g}mm_{slices}slices{more}_seed{seed}"


def _named(patients: Mapping[str, int] | Sequence[int]) -> dict[str, int]:
    if isinstance(patients, Mapping):
        return dict(patients)
    return {f"hospital_{place}": count for place, count in enumerate(patients, start=1)}


def _check(counts: dict[str, int], image_size: int, spacing_mm: float, slices: int, workers: int) -> None:
    if not counts or any(not isinstance(count, int) or count < 1 for count in counts.values()):
        raise ValueError(f"patients={counts}: give each hospital a whole number of patients, at least 1")
    if any(not name or Path(name).name != name for name in counts):
        raise ValueError(f"patients={counts}: a hospital's name becomes a folder; leave out slashes")
    if not 0.2 <= spacing_mm <= 6:
        raise ValueError(f"spacing_mm={spacing_mm}: give 0.2 to 6 mm")
    if not 170 <= image_size * spacing_mm <= 400:
        view = f"image_size={image_size} x spacing_mm={spacing_mm} is a field of view of {image_size * spacing_mm:g} mm"
        raise ValueError(f"{view}; a head needs 170 to 400 mm (e.g. 64 x 3, 96 x 2, 384 x 0.5)")
    if not 12 <= slices <= 18:
        raise ValueError(f"slices={slices}: give 12 to 18 slices of 5 mm, so that the largest bleed fits in the brain")
    if workers < 1:
        raise ValueError(f"workers={workers}: give at least 1 process")


def _write_patient(
    folder: Path, seed: int, image: dict[str, Any], job: tuple[str, int, int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write one patient's files and return the rows of clinical.csv and truth.csv."""
    hospital, place, index = job
    key = (seed, zlib.crc32(hospital.encode()), index)
    patient = simulate(key, scanner=hospital_scanner(place), **image)
    name = f"{hospital}_{index + 1:03d}"
    for time, scan in (("baseline", patient.baseline), ("followup", patient.followup)):
        _write_scan(folder / hospital / name / time, scan, patient.affine)
    return _rows(name, hospital, patient)


def _write_scan(folder: Path, scan: Scan, affine: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for name in ("ct", "iph", "ivh"):
        image = nib.Nifti1Image(getattr(scan, name), affine)
        image.header.set_xyzt_units("mm")
        image.set_qform(affine, 1)
        image.set_sform(affine, 1)
        image.to_filename(folder / f"{name}.nii.gz")


def _rows(name: str, hospital: str, patient: Patient) -> tuple[dict[str, Any], dict[str, Any]]:
    who = {"Patient_ID": name, "Hospital": hospital}
    label = {"Expansion_classic": int(patient.expansion)}
    row = {key: f"{value:.7g}" for key, value in patient.clinical.items()}
    truth: dict[str, Any] = {"p_expansion": round(patient.p_expansion, 5), "location": patient.location}
    if patient.shown is not None:
        truth |= {sign: int(sign in patient.shown) for sign in ("mottled", *model_of_signs.SIGNS)}
    for time, scan in (("baseline", patient.baseline), ("followup", patient.followup)):
        truth[f"{time}_iph_ml"] = round(float(scan.iph.sum()) * patient.voxel_ml, 3)
        truth[f"{time}_ivh_ml"] = round(float(scan.ivh.sum()) * patient.voxel_ml, 3)
        truth[f"{time}_midline_shift_mm"] = round(scan.midline_shift_mm, 2)
    return {**who, **row, **label}, {**who, **truth, **label}
