"""Finds raw patients and their clinical table, and checks both before any scan is read."""

import logging
from dataclasses import dataclass
from pathlib import Path

from datamodules.followup.clinical import CLINICAL, LABEL, ClinicalRow, read_clinical
from datamodules.io import match_ids

__all__ = ["RawPatient", "copied", "find_raw_patients", "read_rows"]

log = logging.getLogger(__name__)

_TIMES = ("baseline", "followup")


@dataclass(frozen=True)
class RawPatient:
    """Folder of one patient with `times`: baseline, and follow-up where there is one."""

    hospital: str
    name: str
    folder: Path
    times: tuple[str, ...]


def find_raw_patients(root: Path) -> list[RawPatient]:
    """Patients `<hospital>/<patient>/` below a folder, in order of name.

    Raises:
        FileNotFoundError: If there are none, or one has no baseline.
        ValueError: If two have one name.
    """
    patients: dict[str, RawPatient] = {}
    for folder in sorted(path for path in root.glob("*/*") if path.is_dir() and not path.name.startswith(".")):
        times = tuple(time for time in _TIMES if (folder / time).is_dir())
        if "baseline" not in times:
            raise FileNotFoundError(f"{folder}: no folder baseline/; expected <hospital>/<patient>/baseline/")
        if folder.name in patients:
            raise ValueError(f"patient {folder.name} is in {patients[folder.name].folder} and in {folder}; rename one")
        patients[folder.name] = RawPatient(folder.parent.name, folder.name, folder, times)
    if not patients:
        raise FileNotFoundError(
            f"{root}: nothing to prepare; expected <hospital>/<patient>/baseline/ and clinical.csv, "
            "or the DICOM files of one scan"
        )
    return list(patients.values())


def read_rows(file: Path, patients: list[RawPatient]) -> dict[str, ClinicalRow]:
    """Rows of the clinical table by patient, after the checks of the datamodule that will read them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a value or column is not as expected, or a patient has no row or one of another hospital.
    """
    rows = read_clinical(file)
    absent = match_ids([patient.name for patient in patients], rows, file)
    for patient in patients:
        if patient.name in absent:
            raise ValueError(f"{file}: no row with Patient_ID {patient.name}, which is the folder {patient.folder}")
        hospital = rows[patient.name].columns.get("Hospital")
        if hospital not in (None, "", patient.hospital):
            raise ValueError(f"{file}: Hospital of {patient.name} is {hospital}, its folder {patient.folder}")
    return rows


def copied(rows: dict[str, ClinicalRow], file: Path) -> list[str]:
    """Documented columns that the rows of a file have; all others, which may name a patient, stay behind."""
    found = next(iter(rows.values())).columns
    columns = [name for name in ("Patient_ID", "Hospital", *CLINICAL, LABEL) if name in found]
    if len(columns) < len(found):
        log.info("%s: %d other columns are not copied", file, len(found) - len(columns))
    return columns
