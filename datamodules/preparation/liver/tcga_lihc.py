"""TCGA-LIHC as published: tables of UCSC Xena, cBioPortal or the BCR, gene expression, tiles of slides.

    *.star_fpkm.tsv[.gz]         a row for each gene, a column for each sample, log2(FPKM + 1)
    *.survival.tsv[.gz]          sample, OS (1 dead), OS.time (days)
    *.clinical.tsv[.gz], data_clinical_patient.txt or nationwidechildrens.org_clinical_patient_lihc.txt
    tiles/TCGA-XX-XXXX-01Z-00-DX1.<uuid>/*.png       cut from the diagnostic slides by a tool of yours

Everything is joined on the first 12 characters of the barcode. For each patient one sample of the primary tumour (01)
is kept; normal tissue (11) is not. `*_lower_limit` and `*_upper_limit` are limits of assays, not values of a patient;
they and the outcomes are dropped. All patients have a carcinoma, so the class is the stage: I and II (0), III and IV
(1). Imaging is not joined here: it is in another archive and exists for few patients (docs/how-to/liver_data.md).
"""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from medzoo.datamodules.io import Row, is_missing, listed, number, plain, read_matrix, read_table
from medzoo.datamodules.preparation.layouts import ImportedPatient, Preparation, predictors, write_cohort

__all__ = ["TCGALIHCPreparation", "read_expression", "read_patients"]

_MONTH = 30.4375  # days
_IDS = ("bcr_patient_barcode", "patient_id", "_patient", "submitter_id", "sample", "sampleid")
_STAGES = ("ajcc_pathologic_stage", "pathologic_stage", "ajcc_pathologic_tumor_stage", "path_stage")
_CLINICAL = ("*.clinical.tsv*", "data_clinical_patient.txt", "*clinical_patient_lihc.txt")
_BARCODE = re.compile(r"TCGA-\w{2}-\w{4}")


class TCGALIHCPreparation(Preparation):
    """Converts patients to the general layout."""

    def _prepare(self, root: Path, output: Path) -> None:
        tables = [file for pattern in _CLINICAL for file in listed(root, f"**/{pattern}")]
        if not tables:
            raise FileNotFoundError(f"no clinical table below {root}: expected one of {', '.join(_CLINICAL)}")
        survival = [read_patients(file) for file in listed(root, "**/*.survival.tsv*")[:1]]
        expression = [read_expression(file) for file in listed(root, "**/*.star_fpkm.tsv*")[:1]]
        patients = _patients(read_patients(tables[0]), survival[0] if survival else {}, _tiles(root))
        write_cohort(output, patients, *expression)


def read_patients(file: Path) -> dict[str, Row]:
    """Rows by patient (12 characters), from any of the sources; comments, second headers and repeats are skipped.

    Raises:
        ValueError: If no column holds barcodes.
    """
    table = read_table(file, comment="#")
    names = {name.casefold(): name for name in table.columns}
    for name in _IDS:
        barcodes = [row[names[name]] for row in table.rows] if name in names else []
        if any(map(_BARCODE.match, barcodes)):
            return {patient: table.rows[place] for patient, place in _tumours(barcodes, ("", "01")).items()}
    raise ValueError(f"{file}: no column of barcodes such as TCGA-XX-XXXX; expected one of {', '.join(_IDS)}")


def _tumours(barcodes: Sequence[str], kinds: Collection[str]) -> dict[str, int]:
    """By patient (12 characters), the index of the first sample of these kinds in order of vial."""
    found: dict[str, int] = {}
    for barcode, place in sorted(zip(barcodes, range(len(barcodes)), strict=True)):
        if _BARCODE.match(barcode) and barcode[13:15] in kinds:
            found.setdefault(barcode[:12], place)
    return found


def read_expression(file: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Gene names without versions, patients, and (G, P) FPKM; genes that differ only in their version are averaged.

    Raises:
        ValueError: If values cannot be log2(FPKM + 1), or there is no tumour sample.
    """
    genes, samples, table = read_matrix(file)
    chosen = _tumours(samples, ("01",))
    if not chosen:
        raise ValueError(f"{file}: no column is a primary tumour, such as TCGA-XX-XXXX-01A")
    table = table[:, list(chosen.values())]
    if np.isnan(table).any():
        raise ValueError(f"{file}: a value is missing; expected one for each gene and sample")
    values: dict[str, list[np.ndarray]] = {}
    for gene, row in zip(genes, table, strict=True):
        values.setdefault(gene.split(".")[0], []).append(row)
    logs = np.array([np.mean(rows, axis=0) for rows in values.values()])
    if logs.min() < 0 or logs.max() > 30:
        raise ValueError(f"{file}: values {logs.min():g} to {logs.max():g}; expected log2(FPKM + 1), 0 to 20")
    return list(values), list(chosen), 2**logs - 1


def _patients(
    clinical: Mapping[str, Row], survival: Mapping[str, Row], tiles: dict[str, list[Path]]
) -> Iterator[ImportedPatient]:
    for name, row in clinical.items():
        months, event = _survival(row, survival.get(name, {}))
        yield ImportedPatient(
            name,
            {key: "" if is_missing(value) else value for key, value in predictors(row).items()},
            _late(row),
            months,
            event,
            tiles=tiles.get(name, ()),
        )


def _survival(row: Row, lived: Mapping[str, str]) -> tuple[str, str]:
    """Months and event, from Xena's survival table, else from cBioPortal's columns."""
    if not math.isnan(days := number(lived, "OS.time", 0)):
        return f"{days / _MONTH:.2f}", plain(lived.get("OS", ""))
    months = row.get("OS_MONTHS", "")
    return ("", "") if is_missing(months) else (months, row.get("OS_STATUS", "")[:1])


def _late(row: Mapping[str, str]) -> str:
    """The class by stage: 1 for `Stage IIIA`, 0 for `Stage II`, empty if unknown."""
    cells = {key.casefold().split(".")[0]: value for key, value in row.items()}
    text = next((cells[name] for name in _STAGES if cells.get(name)), "")
    stage = re.fullmatch(r"(?:stage)?\s*(I{1,3}|IV)[ABC]?\d?", text.strip(), re.IGNORECASE)
    return "" if stage is None else str(int(stage.group(1).upper() in ("III", "IV")))


def _tiles(root: Path) -> dict[str, list[Path]]:
    """Tiles by patient, from diagnostic slides (DX) of the primary tumour, in order of slide and name."""
    found: dict[str, list[Path]] = {}
    for folder in (path for path in listed(root, "**/TCGA-*") if path.is_dir()):
        if re.match(r"TCGA-\w{2}-\w{4}-01Z-00-DX", folder.name):
            pictures = [file for file in listed(folder) if file.suffix.lower() in (".png", ".jpg", ".jpeg")]
            found.setdefault(folder.name[:12], []).extend(pictures)
    return found
