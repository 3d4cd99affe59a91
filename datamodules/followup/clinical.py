"""The clinical table of the follow-up layout: seven variables with units and ranges.

Names, order and ranges are those of HemExp (arXiv 2606.15304; github.com/orhunutkuaydin/HemExp, MIT).
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medzoo.datamodules.io import Row, flag, match_ids, number, read_table

__all__ = ["CLINICAL", "ClinicalRow", "read_clinical", "rows_of", "scale_clinical"]

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


@dataclass(frozen=True)
class ClinicalRow:
    """One patient's row."""

    values: np.ndarray  # (7,) raw values in the order of `CLINICAL`, NaN where missing
    expansion: int | None  # 0 or 1, None if the table does not say
    columns: dict[str, str]  # every column as text; numbers with a decimal point


def read_clinical(file: Path) -> dict[str, ClinicalRow]:
    """Read and check the clinical table.

    Args:
        file: With a column `Patient_ID` and those of `CLINICAL`; `Expansion_classic` may be left out.

    Returns:
        Rows by patient id. A missing value stays NaN: models learn what "unknown" means, nothing is imputed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a column is missing, a patient occurs twice, or a value is not a number or out of range.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no clinical table {file}: expected one with Patient_ID, {', '.join(CLINICAL)}")
    table = read_table(file)
    table.need("Patient_ID", *CLINICAL)
    rows = {name: _read(row) for name, row in table.by("Patient_ID").items()}
    counts = np.isnan([row.values for row in rows.values()]).sum(0)
    if missing := {name: int(count) for name, count in zip(CLINICAL, counts, strict=True) if count}:
        log.info("%s: unknown values, given to the model as unknown: %s", file.name, missing)
    return rows


def rows_of(folders: Mapping[str, Path], table: Mapping[str, ClinicalRow], file: Path) -> dict[str, ClinicalRow]:
    """Rows of a table by patient id, found by that id or the name of the folder; others are left out.

    Raises:
        ValueError: If the table has a patient under almost the same id, as 7 for 007.
    """
    found = {name: table.get(name) or table.get(folder.name) for name, folder in folders.items()}
    match_ids([one for name, row in found.items() if row is None for one in (name, folders[name].name)], table, file)
    return {name: row for name, row in found.items() if row is not None}


def scale_clinical(values: np.ndarray) -> np.ndarray:
    """Bring raw values (..., 7) to [0, 1] by the ranges of `CLINICAL`; NaN stays NaN."""
    low, high = np.array(list(CLINICAL.values())).T
    return ((values - low) / (high - low)).astype(np.float32)


def _read(row: Row) -> ClinicalRow:
    values = [flag(row, name) if limits == (0, 1) else number(row, name, *limits) for name, limits in CLINICAL.items()]
    label = flag(row, LABEL)
    numbers = row.commas - {"Patient_ID", "Hospital"}
    columns = {name: cell.replace(",", ".") if name in numbers else cell for name, cell in row.items()}
    return ClinicalRow(np.array(values), None if math.isnan(label) else int(label), columns)
