"""The clinical table of the follow-up layout: seven variables in their units, their ranges, and what may be missing.

Names, order and ranges are those of HemExp (arXiv 2606.15304; github.com/orhunutkuaydin/HemExp, MIT).
"""

import csv
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["CLINICAL", "ClinicalRow", "read_clinical", "scale_clinical"]

log = logging.getLogger(__name__)

# Lowest and highest allowed value, which become 0 and 1 for a network. Hours, mL, 0/1, 0/1, years, points, mmHg.
CLINICAL: dict[str, tuple[float, float]] = {
    "time_from_onset_to_CT": (0, 24),
    "IPH_baseline_ml": (0, 250),
    "Anticoagulant": (0, 1),
    "Antiplatelet": (0, 1),
    "Age": (0, 100),
    "GCS": (3, 15),
    "Systolic": (0, 250),
}
LABEL = "Expansion_classic"
_MISSING = ("", "na", "nan", "none", "?")


@dataclass(frozen=True)
class ClinicalRow:
    """One patient's row.

    Attributes:
        values: (7,) raw values in the order of `CLINICAL`, NaN where missing.
        expansion: 0 or 1, none where the table does not say.
        columns: Every column as text.
    """

    values: np.ndarray
    expansion: int | None
    columns: dict[str, str]


def read_clinical(file: Path) -> dict[str, ClinicalRow]:
    """Read and check `clinical.csv`.

    Args:
        file: A CSV with a column `Patient_ID` and those of `CLINICAL`; `Expansion_classic` may be left out.

    Returns:
        Rows by patient id. A missing value stays NaN: models learn what "unknown" means, nothing is filled in.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, a patient stands twice, or a value is no number or out of its range.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no clinical table {file}: expected a CSV with Patient_ID, {', '.join(CLINICAL)}")
    with file.open(newline="", encoding="utf-8-sig") as opened:
        reader = csv.DictReader(opened)
        absent = [name for name in ("Patient_ID", *CLINICAL) if name not in (reader.fieldnames or ())]
        if absent:
            raise ValueError(f"{file} lacks the column {', '.join(absent)}; leave its cells empty where unknown")
        rows: dict[str, ClinicalRow] = {}
        for line in reader:
            patient = line["Patient_ID"]
            if patient in rows:
                raise ValueError(f"{file}: patient {patient} stands in it twice")
            values = np.array([_number(file, patient, name, line[name]) for name in CLINICAL])
            label = _number(file, patient, LABEL, line.get(LABEL) or "")
            rows[patient] = ClinicalRow(values, None if math.isnan(label) else int(label), dict(line))
    _report_missing(file, rows)
    return rows


def scale_clinical(values: np.ndarray) -> np.ndarray:
    """Bring raw values (..., 7) to [0, 1] by the ranges of `CLINICAL`; NaN stays NaN."""
    low, high = np.array(list(CLINICAL.values())).T
    return ((values - low) / (high - low)).astype(np.float32)


def _number(file: Path, patient: str, name: str, text: str) -> float:
    if (text or "").strip().lower() in _MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{file}: {name} of patient {patient} is '{text}', which is no number") from None
    low, high = CLINICAL.get(name, (0, 1))
    if not low <= value <= high:
        raise ValueError(
            f"{file}: {name} of patient {patient} is {value:g}, outside {low:g} to {high:g}; mend the unit"
        )
    return value


def _report_missing(file: Path, rows: dict[str, ClinicalRow]) -> None:
    counts = np.isnan([row.values for row in rows.values()]).sum(0) if rows else []
    missing = {name: int(count) for name, count in zip(CLINICAL, counts, strict=False) if count}
    if missing:
        log.info("%s: unknown values, given to the model as unknown: %s", file.name, missing)
