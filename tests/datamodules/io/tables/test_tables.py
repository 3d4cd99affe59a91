"""Tables as people save them: each is read rightly, or one line says what is wrong and where."""

import datetime
import gzip
import logging
import re
import zipfile

import numpy as np
import openpyxl
import pytest

from medzoo.datamodules.io import (
    find_table,
    flag,
    match_ids,
    number,
    plain,
    read_matrix,
    read_table,
    write_table,
)

PLAIN = "id,age,word\n007,12.5,Süd\n7,3,b\n"


def written(folder, content, name="a.csv"):
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def rows(file, **options):
    return [dict(row) for row in read_table(file, **options).rows]


SAME = {
    "UTF-8": PLAIN.encode(),
    "mark": PLAIN.encode("utf-8-sig"),
    "UTF-16": PLAIN.encode("utf-16"),
    "UTF-16, the other way round": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "Windows": PLAIN.encode("cp1252"),
    "semicolons": PLAIN.replace(",", ";"),
    "tabs": PLAIN.replace(",", "\t"),
    "a hint to Excel": "sep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n"),
    "old Macintosh": PLAIN.replace("\n", "\r"),
    "blanks around": PLAIN.replace(",", " ,  ").replace("\n", " \n").replace("7", "\xa07", 0),
    "blank rows": "\n,,\n" + PLAIN.replace("Süd\n", "Süd\n,,\n \n") + ",,\n" * 3,
    "blank columns": PLAIN.replace("\n", ",,\n"),
    "a blank column within": PLAIN.replace(",", ",,", 1).replace("007,", "007,,").replace("\n7,", "\n7,,"),
    "quoted": '"id", "age","word"\n"007","12.5","Süd"\n7,3,b\n',
    "all quoted": '"id"\t"age"\t"word"\n"007"\t"12.5"\t"Süd"\n"7"\t"3"\t"b"\n',
    "compressed": gzip.compress(PLAIN.encode()),
}


@pytest.mark.parametrize("how", SAME)
def test_the_same_table_however_it_was_saved(tmp_path, how):
    assert rows(written(tmp_path, SAME[how])) == [
        {"id": "007", "age": "12.5", "word": "Süd"},
        {"id": "7", "age": "3", "word": "b"},
    ]


def test_what_was_read_is_said_in_a_line(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    read_table(written(tmp_path, PLAIN))
    read_table(written(tmp_path, PLAIN.replace(",", ";").encode("cp1252"), "b.csv"))
    read_table(written(tmp_path, PLAIN.replace(",", "\t"), "c.tsv"))
    read_table(written(tmp_path, "id,\n1,2\n", "d.csv"))
    said = [record.getMessage().removeprefix(f"{tmp_path}/") for record in caplog.records]
    assert said == [
        "a.csv: 2 rows, 3 columns",
        "b.csv: 2 rows, 3 columns; read as cp1252; separated by semicolons",
        "c.tsv: 2 rows, 3 columns",
        "d.csv: 1 rows, 1 columns; 1 columns without a name are left out",
    ]


def test_another_separator_in_a_name_does_not_mislead(tmp_path):
    file = written(tmp_path, "id,sizes (a;b;c;d)\n1,2\n3,4\n")
    assert rows(file)[1] == {"id": "3", "sizes (a;b;c;d)": "4"}


def test_cells_may_hold_line_breaks_separators_and_quotation_marks(tmp_path):
    file = written(tmp_path, 'id,"a; b, and c",d\n1,"two\nlines, ""quoted""",x\n2,y,z\n')
    table = read_table(file)
    assert table.columns == ("id", "a; b, and c", "d")
    assert table.rows[0]["a; b, and c"] == 'two\nlines, "quoted"'
    assert table.rows[1].line == 4


WRONG = {
    "nothing": (b"", "is empty"),
    "blanks alone": (b"\n,,\n", "is empty"),
    "a header alone": (b"id,age\n", "has a header and no rows"),
    "a header and blank rows": (b"id,age\n,\n,\n", "has a header and no rows"),
    "doubled header": (b"id,age, id \n1,2,3\n", "column id occurs twice in the header"),
    "short row": (b"id,age\n1,2\n3\n", "line 3: 1 cells under 2 names"),
    "long row": (b"id,age\n1,2\n3,4,5\n", "line 3: 3 cells under 2 names"),
    "a decimal comma beside commas": (b"id,age\n1,2,5\n", "line 2: 3 cells under 2 names"),
    "a short row below a line break": (b'id,age\n1,"a\nb"\n3\n', "line 4: 1 cells"),
    "open quotation mark": (b'id,age\n1,2\n3,"x\n4,5\n', "line 3: unexpected end of data; correct its quotation marks"),
    "web page": (b"\n <!DOCTYPE html><html>", "is a web page or XML, not a table"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", "git lfs pull"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", r"old Excel file \(.xls\)"),
    "PDF": (b"%PDF-1.4\n", "is a PDF"),
    "NUL": (b"id,age\n1,\x002\n", "NUL bytes"),
    "UTF-16 without a mark": (PLAIN.encode("utf-16-le"), "NUL bytes"),
    "UTF-16 cut short": (PLAIN.encode("utf-16")[:-1], "is neither UTF-8, UTF-16"),
    "no text": (b"\x89PNG\x01\x02", "is no text"),
    "no text at all": (b"id\n\x81\x8d", "is neither UTF-8"),
    "two encodings": ("id\nSüd".encode() + "Süd".encode("cp1252"), "mixes UTF-8 with another encoding"),
    "gzip cut short": (gzip.compress(PLAIN.encode())[:-9], "cut short or damaged"),
    "no workbook": (b"PK\x03\x04 and no more", "could not be read as an Excel workbook"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_table_is_told_in_a_line_with_its_name(tmp_path, what):
    content, told = WRONG[what]
    with pytest.raises(ValueError, match=told) as error:
        read_table(written(tmp_path, content))
    assert str(tmp_path / "a.csv") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_a_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*b\.csv"):
        read_table(tmp_path / "b.csv")
    with pytest.raises(ValueError, match="could not be read as a table"):
        read_table(tmp_path)


# Numbers


def numbers(folder, cells, separator=";", **limits):
    text = "\n".join([f"id{separator}x", *(f"{place}{separator}{cell}" for place, cell in enumerate(cells))])
    return [number(row, "x", **limits) for row in read_table(written(folder, text)).rows]


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "1.0", "+2", "-3", ".5", "1e3", "1,5E-2"], [1, 1, 2, -3, 0.5, 1000, 0.015]),
        (["12,5", "0,125", "-3,25"], [12.5, 0.125, -3.25]),
        (["12,5", "1,234"], [12.5, 1.234]),
        (["1.234", "2.5"], [1.234, 2.5]),
        (["0,5", "0.5"], [0.5, 0.5]),
        (["NA", "nan", "N/A", "-", "", "?", "None", "[Unknown]"], [np.nan] * 8),
    ],
)
def test_numbers(tmp_path, cells, values):
    assert np.array_equal(numbers(tmp_path, cells), values, equal_nan=True)
    if not any("," in cell for cell in cells):
        assert np.array_equal(numbers(tmp_path, cells, ","), values, equal_nan=True)
    quoted = [f'"{cell}"' for cell in cells]
    assert np.array_equal(numbers(tmp_path, quoted, ","), values, equal_nan=True)


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["1,234", "7"], "line 2: x is '1,234': is that 1.234, or 1234"),
        (["12,5", "1.234"], "line 3: x is '1.234': is that 1.234, or 1234"),
        (["1,234", "12.5", "3,5"], "is that 1.234, or 1234"),
        (["1.234,5"], "x is '1.234,5', which is not a number"),
        (["1,234,567"], "which is not a number"),
        (["1_000"], "which is not a number"),
        (["12 mL"], "which is not a number"),
        (["<5"], "which is not a number"),
        (["50%"], "which is not a number"),
        (["inf"], "which is not a number"),
        (["1e999"], "too large for a number"),
        (["2024-03-01"], "which is not a number"),
        (["TRUE"], "which is not a number"),
        (["5", "#DIV/0!"], "line 3: x is '#DIV/0!', an error of Excel"),
        (["#N/A"], "an error of Excel"),
        (["########"], "an error of Excel"),
    ],
)
def test_what_is_no_number_is_told_with_file_line_column_and_value(tmp_path, cells, told):
    with pytest.raises(ValueError, match=told) as error:
        numbers(tmp_path, cells)
    assert str(error.value).startswith(f"{tmp_path / 'a.csv'}, line ")


def test_numbers_have_ranges_and_flags_are_0_or_1(tmp_path):
    with pytest.raises(ValueError, match="line 3: x is 610, outside 0 to 120; correct the unit"):
        numbers(tmp_path, ["61", "610"], low=0, high=120)
    with pytest.raises(ValueError, match="x is -1, below 0"):
        numbers(tmp_path, ["-1"], low=0)
    assert [flag({"x": cell}, "x") for cell in ("0", "1.0", "1,0")] == [0, 1, 1]
    assert np.isnan(flag({"x": "NA"}, "x"))
    assert np.isnan(flag({}, "x"))
    for cell in ("0.5", "yes", "2"):
        with pytest.raises(ValueError, match=f"x is '{cell}'; expected 0 or 1"):
            flag({"x": cell}, "x")
    said = {"1.0": "1", "1,00": "1", "1.5": "1.5", "I ": "I", "007": "007", "1.0.0": "1.0.0"}
    assert {text: plain(text) for text in said} == said


# Ids


def test_ids_are_text_and_stand_once(tmp_path):
    table = read_table(written(tmp_path, PLAIN))
    assert [*table.by("id")] == ["007", "7"]
    assert "line 2 (id 007)" in table.by("id")["007"].where
    with pytest.raises(ValueError, match="id p occurs twice, in lines 2 and 4"):
        read_table(written(tmp_path, "id,x\np,1\nq,2\np,3\n")).by("id")
    for cell in ("", "#N/A"):
        with pytest.raises(ValueError, match="line 3: no id"):
            read_table(written(tmp_path, f"id,x\np,1\n{cell},2\n")).by("id")
    with pytest.raises(ValueError, match="no column Patient_ID; it has patient id"):
        read_table(written(tmp_path, "age,patient id\n1,2\n")).by("Patient_ID")


@pytest.mark.parametrize(
    ("wanted", "known"),
    [("007", "7"), ("7", "7.0"), ("P7", "p7"), ("P-7", "P_7"), ("P 7", "P7"), ("p_007", "P-7"),
     ("S\u00fcd", "Su\u0308d"), ("a\u2011b", "a-b"), ("sub_01_02", "sub-1-2")],
)  # fmt: skip
def test_a_near_miss_is_told_with_both_ids(tmp_path, wanted, known):
    for one, other in ((wanted, known), (known, wanted)):
        with pytest.raises(ValueError, match="ids are text") as error:
            match_ids(["x", one], ["x", other], tmp_path / "a.csv")
        assert f"none of '{one}' but one of '{other}'" in str(error.value)
        assert "a.csv" in str(error.value)


def test_other_ids_are_no_near_miss(tmp_path):
    wanted, known = ["1_11", "10", "P1", "x"], ["11_1", "1", "P10", "111", "1.1", "x", "07"]
    assert match_ids([*wanted, "x"], known, tmp_path) == ["1_11", "10", "P1"]
    assert match_ids(["007", "7"], ["7", "007"], tmp_path) == []


# Workbooks


def book(folder, lines, name="a.xlsx", change=None):
    made = openpyxl.Workbook()
    for line in lines:
        made.active.append(line)
    if change:
        change(made)
    made.save(folder / name)
    return folder / name


def test_a_workbook_is_read_as_it_is_shown(tmp_path):
    def shown(made):
        made.active["A2"].number_format, made.active["E2"].number_format = "000", "0%"
        made.active["J9"].fill = openpyxl.styles.PatternFill("solid", "FFFF00")

    lines = [
        ["id", " age", None, "when", "share", "on", "bad", "text"],
        [7, 61.0, None, datetime.datetime(2024, 3, 1), 0.5, True, "#DIV/0!", " 007 "],
        [None] * 8,
        ["p8", 0.1, None, datetime.datetime(2024, 3, 1, 12, 30), None, None, None, "12,5"],
    ]
    assert rows(book(tmp_path, lines, change=shown)) == [
        {"id": "007", "age": "61", "when": "2024-03-01", "share": "50%", "on": "TRUE", "bad": "#DIV/0!", "text": "007"},
        {"id": "p8", "age": "0.1", "when": "2024-03-01T12:30:00", "share": "", "on": "", "bad": "", "text": "12,5"},
    ]  # fmt: skip
    (tmp_path / "a.xlsx").rename(tmp_path / "named.csv")
    assert rows(tmp_path / "named.csv")[0]["id"] == "007"


def test_which_sheet_is_read_is_said(tmp_path, caplog):
    def more(made):
        made.create_sheet("empty", 0)
        made.create_sheet("Old values").append(["id", "x"])
        hidden = made.create_sheet("hidden", 0)
        hidden.append(["id", "y"])
        hidden.sheet_state = "hidden"

    caplog.set_level(logging.INFO)
    file = book(tmp_path, [["id", "x"], [1, 2]], change=more)
    assert rows(file) == [{"id": "1", "x": "2"}]
    assert "1 rows, 2 columns; sheet 'Sheet' is read, and not 'Old values'" in caplog.text
    with pytest.raises(ValueError, match="no sheet 'data'; it has hidden, empty, Sheet, Old values"):
        read_table(file, sheet="data")
    with pytest.raises(ValueError, match="has a header and no rows"):
        read_table(file, sheet="old values")


def test_what_a_workbook_would_hide_is_told(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    merged = book(tmp_path, [["id", "x"], [1, 2], [3, None]], change=lambda made: made.active.merge_cells("B2:B3"))
    assert rows(merged)[1] == {"id": "3", "x": ""}
    assert "merged cells (B2:B3, ...)" in caplog.text
    with pytest.raises(ValueError, match="cell B2 of sheet 'Sheet' has a formula without a value"):
        read_table(book(tmp_path, [["id", "x"], [1, "=A2*2"]]))
    with pytest.raises(ValueError, match="is empty"):
        read_table(book(tmp_path, []))


def test_values_of_formulas_are_read_also_empty_ones(tmp_path):
    file = book(tmp_path, [["id", "x", "y"], [1, "=A2*2", '=""']])
    with zipfile.ZipFile(file) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"].decode()
    sheet = re.sub("<f>A2[*]2</f><v ?/>|<f>A2[*]2</f><v></v>", "<f>A2*2</f><v>2</v>", sheet)
    sheet = sheet.replace('<c r="C2"', '<c r="C2" t="str"')
    parts["xl/worksheets/sheet1.xml"] = sheet.encode()
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    assert rows(file) == [{"id": "1", "x": "2", "y": ""}]


def test_a_damaged_workbook_is_told(tmp_path):
    file = book(tmp_path, [["id", "x"], [1, 2]])
    whole = file.read_bytes()
    with zipfile.ZipFile(tmp_path / "b.xlsx", "w") as packed:
        packed.writestr("word/document.xml", "<x/>")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "d.xlsx", "w") as packed:
        for name in old.namelist():
            packed.writestr(name, old.read(name)[: 99 if name == "[Content_Types].xml" else None])
    for content in (whole[:-30], *((tmp_path / name).read_bytes() for name in ("b.xlsx", "d.xlsx"))):
        with pytest.raises(ValueError, match=r"c\.xlsx could not be read as an Excel workbook"):
            read_table(written(tmp_path, content, "c.xlsx"))


# Files


def test_a_table_is_found_in_any_of_its_forms(tmp_path, caplog):
    assert find_table(tmp_path, "clinical") == tmp_path / "clinical.csv"
    for name in ("~$Clinical.xlsx", "._clinical.csv", "clinical.csv.bak", "clinical_old.csv"):
        (tmp_path / name).touch()
    assert not find_table(tmp_path, "clinical").exists()
    for name in ("clinical.xls", "clinical.xlsx", "Clinical.TSV"):
        (tmp_path / name).touch()
        caplog.clear()
        assert find_table(tmp_path, "clinical").name == name
    assert "Clinical.TSV is read, and not clinical.xlsx, clinical.xls beside it" in caplog.text


def test_what_is_written_is_read_back(tmp_path):
    lines = [{"id": "007", "x": 'a,"b"\nc', "z": "left out"}, {"id": "7"}]
    write_table(tmp_path / "a.csv", ["id", "x"], lines)
    assert rows(tmp_path / "a.csv") == [{"id": "007", "x": 'a,"b"\nc'}, {"id": "7", "x": ""}]


def test_a_matrix(tmp_path):
    names, columns, values = read_matrix(written(tmp_path, "gene\tp1\t007\nA\t1\tNA\n\nB\t2.5\t\n", "a.tsv"))
    assert (names, columns) == (["A", "B"], ["p1", "007"])
    assert np.array_equal(values, [[1, np.nan], [2.5, np.nan]], equal_nan=True)
    commas = "gene;p1;p2\nA;1,234;0\nB;0,5;12,25\n"
    assert read_matrix(written(tmp_path, commas))[2].tolist() == [[1.234, 0], [0.5, 12.25]]
    for text, told in (
        ("gene;p1\nA;1,234\n", r"line 2 \(A\): p1 is '1,234'"),
        ("gene;p1\nA;1,234\nB;2,5\nC;2.5\n", "is '1,234'"),
        ("gene,p1\nA,x\n", "p1 is 'x', which is not a number"),
        ("gene,p1\nA,1_0\n", "p1 is '1_0', which is not a number"),
        ("gene,p1\nA,inf\n", "p1 is 'inf', which is not a number"),
        ("gene,p1,p2\nA,1\n", "2 cells under 3 names"),
        ("gene,p1,p1\nA,1,2\n", "p1 occurs twice in the header"),
        ("gene,p1\n", "no rows"),
    ):
        with pytest.raises(ValueError, match=told):
            read_matrix(written(tmp_path, text))
