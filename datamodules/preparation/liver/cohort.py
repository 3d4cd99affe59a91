"""Writes imported patients in the general layout (`datamodules/liver/records.py`), whatever layout they came from."""

import logging
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from datamodules.io import Volume, write_like, write_table
from datamodules.liver.columns import is_leak
from datamodules.phantoms.writing import appearing

__all__ = ["ImportedPatient", "column_name", "predictors", "write_cohort"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImportedPatient:
    """One patient of a public data set.

    Attributes:
        id: Unique in the cohort.
        row: Clinical columns as text.
        label: Class, empty where unknown.
        months: Survival or follow-up, empty where unknown.
        event: 1 for dead, 0, or empty.
        volumes: By `ct`, `t1`, `t2`, `liver`, or any other name.
        tiles: Pictures to copy.
        split: `train`, `val`, `test`, or empty.
    """

    id: str
    row: Mapping[str, str]
    label: str = ""
    months: str = ""
    event: str = ""
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    tiles: Sequence[Path] = ()
    split: str = ""


def write_cohort(
    output: Path, patients: Iterable[ImportedPatient], genes: tuple[Sequence[str], Sequence[str], np.ndarray] | None
) -> None:
    """Write a cohort; the folder appears when it is complete.

    Args:
        output: Where.
        patients: Made one by one.
        genes: Names of G genes, ids of P patients, and (G, P) FPKM or TPM.

    Raises:
        FileExistsError: If something is there.
        ValueError: If there is no patient, or one stands twice.
    """
    if output.exists() and any(output.iterdir()):
        raise FileExistsError(f"{output} is not empty; choose another output, or delete it")
    rows: dict[str, dict[str, str]] = {}
    with appearing(output) as folder:
        for patient in track(patients, "writing", transient=True):
            if patient.id in rows:
                raise ValueError(f"patient {patient.id} stands twice in the source")
            outcome = {"label": patient.label, "time_months": patient.months, "event": patient.event}
            rows[patient.id] = {"id": patient.id, "split": patient.split, **patient.row, **outcome}
            _write_files(folder / patient.id, patient)
        if not rows:
            raise ValueError("no patient was found in the source")
        columns = list(dict.fromkeys(name for row in rows.values() for name in row))
        columns = [name for name in columns if name != "split" or any(row["split"] for row in rows.values())]
        write_table(folder / "patients.csv", columns, rows.values())
        if genes is not None:
            _write_genes(folder / "genomics.tsv", *genes)


def predictors(row: Mapping[str, Any]) -> dict[str, str]:
    """Columns of a row that may be predictors, under plain names; outcomes and assay limits stay behind."""
    return {
        column_name(key): " ".join(str("" if value is None else value).split())
        for key, value in row.items()
        if key and not is_leak(str(key))
    }


def column_name(text: object) -> str:
    """`Personal history of cancer ` to `personal_history_of_cancer`."""
    return re.sub(r"\W+", "_", str(text).strip().casefold()).strip("_")


def _write_files(home: Path, patient: ImportedPatient) -> None:
    if patient.volumes or patient.tiles:
        home.mkdir()
    for name, volume in patient.volumes.items():
        write_like(volume.array, volume, home / f"{name}.nii.gz")
    if patient.tiles:
        (home / "tiles").mkdir()
    for number, tile in enumerate(patient.tiles):
        shutil.copyfile(tile, home / "tiles" / f"tile_{number:05d}{tile.suffix.lower()}")


def _write_genes(file: Path, names: Sequence[str], patients: Sequence[str], values: np.ndarray) -> None:
    with file.open("w", encoding="utf-8") as opened:
        opened.write("\t".join(["gene", *patients]) + "\n")
        for name, row in zip(names, values, strict=True):
            opened.write("\t".join([name, *(f"{value:.6g}" for value in row)]) + "\n")
