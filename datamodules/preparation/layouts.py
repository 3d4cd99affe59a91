"""Write data sets in the layouts of the datamodules."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from medzoo.datamodules.io import Volume, write_like, write_table
from medzoo.datamodules.outcomes import is_leak
from medzoo.datamodules.phantoms.writing import appearing

__all__ = [
    "ImportedPatient",
    "LabelledScan",
    "Preparation",
    "column_name",
    "predictors",
    "write_cohort",
    "write_segmentation_set",
]


@dataclass(frozen=True)
class Preparation:
    """Converts a data set to another layout.

    Attributes:
        input: Folder that contains the published files, at any depth.
        output: Folder to write.
    """

    input: str
    output: str

    def run(self) -> None:
        """Write `output`, which appears only when it is complete.

        Raises:
            FileExistsError: If `output` is not empty.
            FileNotFoundError: If the images or a table are missing.
            ValueError: If a file or a cell is invalid.
        """
        self._prepare(Path(self.input), Path(self.output))

    def _prepare(self, root: Path, output: Path) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class ImportedPatient:
    """One patient of a public data set.

    Attributes:
        id: Id, unique in the cohort.
        row: Clinical columns as text.
        label: Class; empty if unknown.
        months: Survival or follow-up time in months; empty if unknown.
        event: 1 for dead, 0 for censored; empty if unknown.
        volumes: Volumes by name: `ct`, `t1`, `t2`, `liver`, or any other.
        tiles: Image files of tiles to copy.
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


@dataclass(frozen=True)
class LabelledScan:
    """A case of a segmentation: one volume for each channel and the label map, all on one grid."""

    id: str
    images: Sequence[Volume]
    mask: Volume
    test: bool = False


def write_cohort(
    output: Path,
    patients: Iterable[ImportedPatient],
    genes: tuple[Sequence[str], Sequence[str], np.ndarray] | None = None,
) -> None:
    """Write a cohort in the general layout (`datamodules/liver/records.py`).

    Patients are processed one at a time; `genes` holds names of G genes, ids of P patients, and (G, P) FPKM or TPM.

    Raises:
        FileExistsError: If `output` is not empty.
        ValueError: If there is no patient, or one occurs twice.
    """
    rows: dict[str, dict[str, str]] = {}
    with _new(output) as folder:
        for patient in track(patients, "writing", transient=True):
            if patient.id in rows:
                raise ValueError(f"patient {patient.id} occurs twice in the source")
            outcome = {"label": patient.label, "time_months": patient.months, "event": patient.event}
            rows[patient.id] = {"id": patient.id, "split": patient.split, **patient.row, **outcome}
            _write_files(folder / patient.id, patient)
        if not rows:
            raise ValueError("no patient was found in the source")
        columns = list(dict.fromkeys(name for row in rows.values() for name in row))
        if not any(row["split"] for row in rows.values()):
            columns.remove("split")
        write_table(folder / "patients.csv", columns, rows.values())
        if genes is not None:
            names, measured, values = genes
            with (folder / "genomics.tsv").open("w", encoding="utf-8") as opened:
                opened.write("\t".join(["gene", *measured]) + "\n")
                for name, row in zip(names, values, strict=True):
                    opened.write("\t".join([name, *(f"{value:.6g}" for value in row)]) + "\n")


def write_segmentation_set(
    output: Path, scans: Iterable[LabelledScan], *, labels: Mapping[str, int], channels: Sequence[str]
) -> None:
    """Write a data set in nnU-Net's raw layout, which `SegmentationDataModule` reads.

    Scans are processed one at a time, so that a large data set need not fit into memory; `labels` includes background.

    Raises:
        FileExistsError: If `output` is not empty.
    """
    count = 0
    with _new(output) as folder:
        for scan in track(scans, "writing", transient=True):
            split = "Ts" if scan.test else "Tr"
            for number, image in enumerate(scan.images):
                write_like(image.array, image, folder / f"images{split}" / f"{scan.id}_{number:04d}.nii.gz")
            write_like(scan.mask.array, scan.mask, folder / f"labels{split}" / f"{scan.id}.nii.gz")
            count += not scan.test
        description = {
            "channel_names": {str(number): name for number, name in enumerate(channels)},
            "labels": dict(labels),
            "numTraining": count,
            "file_ending": ".nii.gz",
        }
        (folder / "dataset.json").write_text(json.dumps(description, indent=2) + "\n")


def predictors(row: Mapping[str, Any]) -> dict[str, str]:
    """Columns of a row that may be predictors, under plain names; outcomes and assay limits are dropped."""
    return {
        column_name(key): " ".join(str("" if value is None else value).split())
        for key, value in row.items()
        if key and not is_leak(str(key))
    }


def column_name(text: object) -> str:
    """Normalise a column name: `Personal history of cancer ` becomes `personal_history_of_cancer`."""
    return re.sub(r"\W+", "_", str(text).strip().casefold()).strip("_")


@contextmanager
def _new(output: Path) -> Iterator[Path]:
    """A temporary folder that becomes `output` once everything is written."""
    if output.exists() and any(output.iterdir()):
        raise FileExistsError(f"{output} is not empty; choose another output, or delete it")
    with appearing(output) as folder:
        yield folder


def _write_files(home: Path, patient: ImportedPatient) -> None:
    for name, volume in patient.volumes.items():
        write_like(volume.array, volume, home / f"{name}.nii.gz")
    if patient.tiles:
        (home / "tiles").mkdir(parents=True, exist_ok=True)
    for number, tile in enumerate(patient.tiles):
        shutil.copyfile(tile, home / "tiles" / f"tile_{number:05d}{tile.suffix.lower()}")
