"""Finds raw patients and their clinical table, and checks both before any scan is read."""

import csv
import logging
from dataclasses import dataclass
from pathlib import Path

from datamodules.followup.clinical import CLINICAL, LABEL, read_clinical

__all__ = ["ClinicalTable", "RawPatient", "copy_clinical", "find_raw_patients"]

log = logging.getLogger(__name__)

_TIMES = ("baseline", "followup")


@dataclass(frozen=True)
class RawPatient:
    """Folder of one patient with `times`: baseline, and follow-up where there is one."""

    hospital: str
    name: str
    folder: Path
    times: tuple[str, ...]


@dataclass(frozen=True)
class ClinicalTable:
    """Documented columns of the clinical table; all others, which may name a patient, stay behind."""

    columns: list[str]
    rows: list[dict[str, str]]

    def write(self, file: Path) -> None:
        """Write in one go."""
        partial = file.with_name(f".{file.name}.partial")
        with partial.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.DictWriter(opened, self.columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(file)


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


def copy_clinical(file: Path, patients: list[RawPatient]) -> ClinicalTable:
    """Read the documented columns after the checks of the datamodule that will read them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a value or column is not as expected, or a patient has no row or one of another hospital.
    """
    known = read_clinical(file)
    with file.open(newline="", encoding="utf-8-sig") as opened:
        reader = csv.DictReader(opened)
        rows, found = list(reader), list(reader.fieldnames or ())
    columns = [name for name in ("Patient_ID", "Hospital", *CLINICAL, LABEL) if name in found]
    if len(columns) < len(found):
        log.info("%s: %d other columns are not copied", file, len(found) - len(columns))
    hospitals = {row["Patient_ID"]: row.get("Hospital") for row in rows}
    for patient in patients:
        if patient.name not in known:
            raise ValueError(f"{file}: no row with Patient_ID {patient.name}, which is the folder {patient.folder}")
        if hospitals[patient.name] not in (None, "", patient.hospital):
            raise ValueError(
                f"{file}: Hospital of {patient.name} is {hospitals[patient.name]}, its folder {patient.folder}"
            )
    return ClinicalTable(columns, rows)
