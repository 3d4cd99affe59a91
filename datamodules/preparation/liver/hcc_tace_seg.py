"""HCC-TACE-Seg as published (Moawad et al. 2023, doi:10.1038/s41597-023-01928-3; CC BY 4.0).

    manifest-*/HCC-TACE-Seg/HCC_001/<study>/<series>/*.dcm        CT before and after treatment, DICOM SEG
    HCC-TACE-Seg_clinical_data-V2.xlsx                            sheet "data table"

The segmentation is that of the earliest study which has one; the CT before treatment is the series that it refers to.
Outcomes and findings after treatment are dropped from the table (`datamodules/outcomes.py`), and survival is converted
from weeks to months. `Sex` is 1 for men and 2 for women.
"""

import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medzoo.datamodules.io import Grid, Volume, from_itk, listed, match_ids, number, read_table
from medzoo.datamodules.io.dicom.segmentations import Series, find_series, read_segments
from medzoo.datamodules.io.dicom.series import read_series
from medzoo.datamodules.preparation.layouts import (
    ImportedPatient,
    Preparation,
    column_name,
    predictors,
    write_cohort,
)

__all__ = ["HCCTACESegPreparation", "pre_procedural", "read_patients"]

log = logging.getLogger(__name__)

_WEEKS = 7 / 30.4375  # months in a week
_SEX = {"1": "M", "2": "F"}


class HCCTACESegPreparation(Preparation):
    """Converts patients to the general layout; the class is progression, 0 or 1."""

    def _prepare(self, root: Path, output: Path) -> None:
        tables = [file for file in listed(root, "**/*.xlsx") if file.name[0] != "~"]
        if not tables:
            raise FileNotFoundError(f"no .xlsx with the clinical data below {root}")
        folders = {path.name: path for path in listed(root, "**/HCC_*") if path.is_dir()}
        if not folders:
            raise FileNotFoundError(f"no folder HCC_<number> below {root}")
        rows = read_patients(tables[0])
        for name in match_ids(sorted(folders), rows, tables[0]):
            log.warning("%s has images and no row in %s; left out", name, tables[0].name)
        write_cohort(output, (_patient(name, row, folders.get(name)) for name, row in rows.items()))


def read_patients(file: Path) -> dict[str, dict[str, str]]:
    """Rows by patient; column names are stripped and in lower case, cells are text.

    Raises:
        ValueError: If there is no sheet `data table` or no column `TCIA_ID`, or a patient occurs twice.
    """
    table = read_table(file, sheet="data table")
    table.need("TCIA_ID")
    patients = replace(table, rows=[row for row in table.rows if row["TCIA_ID"]]).by("TCIA_ID")
    return {name: {column_name(column): cell for column, cell in row.items()} for name, row in patients.items()}


def pre_procedural(series: list[Series]) -> tuple[Series, Series] | None:
    """The CT before treatment and its segmentation, from the earliest study that has one.

    Raises:
        ValueError: If the CT that the segmentation refers to is not there.
    """
    outlined = [one for one in series if one.modality == "SEG"]
    if not outlined:
        return None
    seg = min(outlined, key=lambda one: (one.date, one.uid))
    for one in series:
        if one.modality == "CT" and one.uid == seg.refers_to:
            return one, seg
    raise ValueError(f"{seg.folder}: the CT series {seg.refers_to} that it outlines is not there; download it too")


def _patient(name: str, row: dict[str, str], folder: Path | None) -> ImportedPatient:
    pair = pre_procedural(find_series(folder)) if folder else None
    if pair is None:
        log.warning("%s: no CT with a segmentation; the imaging is missing", name)
    weeks = number(row, "os", 0, where=name)
    plain = predictors({key: value for key, value in row.items() if key != "tcia_id"})
    if "sex" in plain:
        plain["sex"] = _SEX.get(plain["sex"], "")
    return ImportedPatient(
        name,
        {key: value.replace("_ ", "_") for key, value in plain.items()},
        row.get("censored_0_progressed_1", ""),
        "" if math.isnan(weeks) else f"{weeks * _WEEKS:.2f}",
        row.get("death_1_stillaliveorlosttofu_0", ""),
        volumes=_volumes(*pair) if pair else {},
    )


def _volumes(ct: Series, seg: Series) -> dict[str, Volume]:
    """The CT, the liver (1) with its masses (2), and any other segment under its own name; segments may overlap."""
    slices = read_series(ct.folder, ct.uid)
    masks = read_segments(seg.folder, slices)
    if "liver" not in masks:
        raise ValueError(f"{seg.folder}: no segment 'Liver'; it has {', '.join(masks)}")
    liver = masks.pop("liver").astype(np.uint8)
    for mass in [name for name in masks if name.startswith(("mass", "tumor", "tumour"))]:
        liver[masks.pop(mass)] = 2
    others = {column_name(name): mask.astype(np.uint8) for name, mask in masks.items()}
    labels = {name: _to_volume(slices.mask_to_image(mask)) for name, mask in {"liver": liver, **others}.items()}
    return {"ct": _to_volume(slices.to_image()), **labels}


def _to_volume(image: sitk.Image) -> Volume:
    grid = Grid(image.GetSize(), from_itk(image))
    return Volume(grid.to_array(sitk.GetArrayFromImage(image).T), grid)
