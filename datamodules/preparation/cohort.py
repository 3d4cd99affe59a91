"""Find raw patients and their clinical table, and check both before reading any scan."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from medzoo.datamodules.followup.clinical import CLINICAL, LABEL, ClinicalRow, read_clinical
from medzoo.datamodules.io import listed, match_ids

__all__ = ["copied", "find_raw_patients", "read_rows"]

log = logging.getLogger(__name__)


def find_raw_patients(root: Path) -> dict[Path, tuple[str, ...]]:
    """Folders `<hospital>/<patient>/`, in order, each with its time points: `baseline`, and `followup` if there is one.

    Raises:
        FileNotFoundError: If there is no patient, or one has no baseline.
        ValueError: If two patients have the same name.
    """
    found: dict[Path, tuple[str, ...]] = {}
    places: dict[str, Path] = {}
    for folder in (path for path in listed(root, "*/*") if path.is_dir()):
        if not (folder / "baseline").is_dir():
            raise FileNotFoundError(f"{folder}: no folder baseline/; expected <hospital>/<patient>/baseline/")
        if folder.name in places:
            raise ValueError(f"patient {folder.name} is in {places[folder.name]} and in {folder}; rename one")
        places[folder.name] = folder
        found[folder] = ("baseline", "followup") if (folder / "followup").is_dir() else ("baseline",)
    if not found:
        raise FileNotFoundError(
            f"{root}: nothing to prepare; expected <hospital>/<patient>/baseline/ and clinical.csv, "
            "or the DICOM files of one scan"
        )
    return found


def read_rows(file: Path, folders: Iterable[Path]) -> dict[str, ClinicalRow]:
    """Rows of the clinical table by patient, checked as the datamodule will check them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a value or column is not as expected, a patient has no row, or the row names another hospital.
    """
    rows = read_clinical(file)
    absent = match_ids([folder.name for folder in folders], rows, file)
    for folder in folders:
        if folder.name in absent:
            raise ValueError(f"{file}: no row with Patient_ID {folder.name}, which is the folder {folder}")
        hospital = rows[folder.name].columns.get("Hospital")
        if hospital not in (None, "", folder.parent.name):
            raise ValueError(f"{file}: Hospital of {folder.name} is {hospital}, its folder {folder}")
    return rows


def copied(rows: Mapping[str, ClinicalRow], file: Path) -> list[str]:
    """The documented columns among those of a file; all others, which may identify a patient, are not copied."""
    found = next(iter(rows.values())).columns
    columns = [name for name in ("Patient_ID", "Hospital", *CLINICAL, LABEL) if name in found]
    if len(columns) < len(found):
        log.info("%s: %d other columns are not copied", file, len(found) - len(columns))
    return columns
