"""What can be wrong with a table, a `dataset.json`, a folder or a DICOM series, and what only looks so."""

import csv
import datetime
import io
import json
import re
import shutil
from pathlib import Path

import openpyxl
import pydicom
from pydicom.uid import MRImageStorage, SecondaryCaptureImageStorage

from tests.bad_input.harm_volumes import cut_short
from tests.datamodules.io.dicom_series import only, write_ct


def rows_of(file: Path) -> list[list[str]]:
    """Cells, of which the first line is the header."""
    return [*csv.reader(io.StringIO(file.read_text()))]


def written(file: Path, rows: list[list[str]], separator: str = ",") -> None:
    """Write cells."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    file.write_text(text.getvalue())


def id_column(rows: list[list[str]]) -> int:
    """Where ids stand."""
    return next(place for place, name in enumerate(rows[0]) if name in ("path", "Patient_ID", "case", "id"))


def value_column(rows: list[list[str]]) -> int:
    """Where ages stand, or what else is a number."""
    return next(place for place, name in enumerate(rows[0]) if name in ("Age", "age", "age_years"))


def with_cell(file: Path, text: str, line: int = 2) -> None:
    """The table with another text in place of an age."""
    rows = rows_of(file)
    rows[line][value_column(rows)] = text
    written(file, rows)


def with_column(file: Path, name: str, text: str) -> None:
    """The table with a column more."""
    rows = rows_of(file)
    written(file, [[*row, name if not line else text] for line, row in enumerate(rows)])


def utf16(file: Path, _: Path) -> None:
    file.write_bytes(file.read_text().encode("utf-16"))


def windows(file: Path, _: Path) -> None:
    with_column(file, "Klinik", "Zürich")
    file.write_bytes(file.read_text().encode("cp1252"))


def byte_order_mark(file: Path, _: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


def semicolons(file: Path, _: Path) -> None:
    written(file, rows_of(file), ";")


def tabs(file: Path, _: Path) -> None:
    written(file, rows_of(file), "\t")


def decimal_commas(file: Path, _: Path) -> None:
    rows = rows_of(file)
    names = id_column(rows)
    written(file, [[cell if place == names else re.sub(r"^(\d+)\.(\d+)$", r"\1,\2", cell)
                    for place, cell in enumerate(row)] for row in rows], ";")  # fmt: skip


def blank_rows(file: Path, _: Path) -> None:
    rows = rows_of(file)
    empty = [""] * len(rows[0])
    written(file, [empty, *rows[:3], empty, empty, *rows[3:], empty])


def spaces(file: Path, _: Path) -> None:
    written(file, [[f" {cell} " for cell in row] for row in rows_of(file)])


def unknown_column(file: Path, _: Path) -> None:
    with_column(file, "remark", "seen twice")


def excel(file: Path, _: Path, cells: dict[int, object] | None = None) -> Path:
    """The same as a workbook, with other cells in place of ages; ids are text."""
    rows = rows_of(file)
    book = openpyxl.Workbook()
    names, values = id_column(rows), next((p for p, n in enumerate(rows[0]) if n in ("Age", "age", "age_years")), -1)
    for line, row in enumerate(rows):
        number = {p: float(c) for p, c in enumerate(row) if p != names and re.fullmatch(r"\d+(\.\d+)?", c)}
        kept = [number.get(place, cell or None) for place, cell in enumerate(row)]
        if line in (cells or {}):
            kept[values] = (cells or {})[line]
        book.active.append(kept)
    file.unlink()
    made = file.with_suffix(".xlsx")
    book.save(made)
    return made


def excel_under_csv(file: Path, root: Path) -> None:
    excel(file, root).rename(file)


def excel_error(file: Path, root: Path) -> None:
    excel(file, root, {2: "#DIV/0!"}).rename(file)


def excel_date(file: Path, root: Path) -> None:
    excel(file, root, {2: datetime.date(2024, 3, 1)}).rename(file)


def excel_cut_short(file: Path, root: Path) -> None:
    made = excel(file, root)
    cut_short(made, root)
    made.rename(file)


def old_excel(file: Path, _: Path) -> None:
    file.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))


def nul_bytes(file: Path, _: Path) -> None:
    file.write_bytes(file.read_bytes() + bytes(20))


def blank(file: Path, _: Path) -> None:
    file.write_text(" \n\n")


def only_header(file: Path, _: Path) -> None:
    written(file, rows_of(file)[:1])


def column_twice(file: Path, _: Path) -> None:
    rows = rows_of(file)
    written(file, [[*row, row[id_column(rows)]] for row in rows])


def id_twice(file: Path, _: Path) -> None:
    rows = rows_of(file)
    written(file, [*rows, rows[2]])


def id_missing(file: Path, _: Path) -> None:
    rows = rows_of(file)
    rows[2][id_column(rows)] = ""
    written(file, rows)


def zeros_lost(file: Path, _: Path) -> None:
    """As Excel does it: 007 becomes 7."""
    rows = rows_of(file)
    place = id_column(rows)
    written(
        file, [[re.sub(r"^0+(?=.)", "", cell) if at == place else cell for at, cell in enumerate(row)] for row in rows]
    )


def id_in_capitals(file: Path, _: Path) -> None:
    rows = rows_of(file)
    rows[2][id_column(rows)] = rows[2][id_column(rows)].upper()
    written(file, rows)


def row_missing(file: Path, _: Path) -> None:
    rows = rows_of(file)
    written(file, rows[:2] + rows[3:])


def row_too_many(file: Path, _: Path) -> None:
    rows = rows_of(file)
    more = list(rows[2])
    more[id_column(rows)] = "zz99"
    written(file, [*rows, more])


def column_missing(file: Path, _: Path) -> None:
    rows = rows_of(file)
    place = id_column(rows)
    written(file, [[cell for at, cell in enumerate(row) if at != place] for row in rows])


def cell_too_many(file: Path, _: Path) -> None:
    rows = rows_of(file)
    rows[2].append("stray")
    written(file, rows)


def quotation_open(file: Path, _: Path) -> None:
    lines = file.read_text().splitlines()
    lines[2] = '"' + lines[2]
    file.write_text("\n".join(lines))


def split_misspelt(file: Path, _: Path) -> None:
    file.write_text(file.read_text().replace(",train", ",training set"))


def label_missing(file: Path, _: Path) -> None:
    rows = rows_of(file)
    rows[2][rows[0].index("label")] = ""
    written(file, rows)


def label_unknown(file: Path, _: Path) -> None:
    rows = rows_of(file)
    rows[2][rows[0].index("label")] = "2"
    written(file, rows)


def in_two_splits(file: Path, _: Path) -> None:
    rows = rows_of(file)
    rows[-1][rows[0].index("patient")] = rows[1][rows[0].index("patient")]
    written(file, rows)


# dataset.json


def said(file: Path, **values: object) -> None:
    """With other values; those that are None are left out."""
    content = {**json.loads(file.read_text()), **values}
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def a_list(file: Path, _: Path) -> None:
    file.write_text("[1, 2]")


def json_with_mark(file: Path, _: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


def json_of_windows(file: Path, _: Path) -> None:
    content = {**json.loads(file.read_text()), "description": "Zürich"}
    file.write_bytes(json.dumps(content, ensure_ascii=False).encode("cp1252"))


# Folders


def empty_class(_: Path, root: Path) -> None:
    (root / "unsure").mkdir()


def class_of_one(_: Path, root: Path) -> None:
    for file in sorted((root / "ill").iterdir())[1:]:
        file.unlink()


def one_patient(_: Path, root: Path) -> None:
    others = (
        "imagesTr/[b-z]*",
        "labelsTr/[b-z]*",
        "images/[b-z]*",
        "masks/[b-z]*",
        "ill/p0[1-9]*",
        "ill/p1*",
        "well/*",
    )
    for file in [file for pattern in others for file in root.glob(pattern)]:
        file.unlink()
    for hospital in ("south", "west"):
        shutil.rmtree(root / hospital, ignore_errors=True)


def nothing(_: Path, root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def patient_in_test(file: Path, root: Path) -> None:
    (root / "imagesTs").mkdir()
    (root / "labelsTs").mkdir()
    shutil.copy(file, root / "imagesTs" / file.name)
    shutil.copy(root / "labelsTr" / "b.nii.gz", root / "labelsTs" / "b.nii.gz")


def patient_in_two_hospitals(_: Path, root: Path) -> None:
    shutil.copytree(root / "north" / "02", root / "west" / "02")


def odd_names(file: Path, _: Path) -> None:
    file.rename(file.with_name(file.name.replace("p02", "Müller, Jörg=2 (ß) [x]\n")))


def other_ending(file: Path, _: Path) -> None:
    import nibabel as nib

    nib.save(nib.load(file), file.with_name("e_0000.nii"))


def picture_among_volumes(file: Path, _: Path) -> None:
    (file.parent / "overview.png").write_bytes(b"\x89PNG")


# DICOM


def again(root: Path, change: object, name: str = "1.1") -> None:
    """The series anew, each slice changed."""
    shutil.rmtree(root / "scan")
    write_ct(root / "scan", change, name)


def two_series(_: Path, root: Path) -> None:
    write_ct(root / "scan", series="1.2")


def localizer(_: Path, root: Path) -> None:
    write_ct(root / "other", only(0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "1.3")
    shutil.move(root / "other" / "1.3_3.dcm", root / "scan" / "scout.dcm")
    shutil.rmtree(root / "other")


def capture(_: Path, root: Path) -> None:
    file = next((root / "scan").glob("*_3.dcm"))
    made = pydicom.dcmread(file)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    made.save_as(root / "scan" / "report.dcm", enforce_file_format=True)


def slice_missing(_: Path, root: Path) -> None:
    (root / "scan" / "1.1_1.dcm").unlink()


def no_pixel_spacing(_: Path, root: Path) -> None:
    again(root, only(1, PixelSpacing=None))


def no_position(_: Path, root: Path) -> None:
    again(root, only(1, ImagePositionPatient=None))


def no_intercept(_: Path, root: Path) -> None:
    again(root, lambda number, made: delattr(made, "RescaleIntercept"))


def magnetic_resonance(_: Path, root: Path) -> None:
    def change(number: int, made: pydicom.Dataset) -> None:
        made.Modality, made.SOPClassUID = "MR", MRImageStorage
        made.file_meta.MediaStorageSOPClassUID = MRImageStorage

    again(root, change)


def turned_slice(_: Path, root: Path) -> None:
    again(root, only(1, ImageOrientationPatient=[0, 1, 0, 1, 0, 0]))


def slice_cut_short(_: Path, root: Path) -> None:
    cut_short(root / "scan" / "1.1_1.dcm", root)


def slice_of_another_size(_: Path, root: Path) -> None:
    def change(number: int, made: pydicom.Dataset) -> None:
        if number == 1:
            made.Rows = made.Rows - 1
            made.PixelData = made.PixelData[: made.Rows * made.Columns * 2]

    again(root, change)


def text_in_series(_: Path, root: Path) -> None:
    (root / "scan" / "readme.txt").write_text("see the report")
