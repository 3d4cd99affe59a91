"""Random tables come back as they were written, and random bytes are a table or a ValueError, never anything else.

`fuzzing` says how to try more.
"""

import csv
import io
import math
import tempfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from medzoo.datamodules.io import match_ids, number, read_matrix, read_table
from medzoo.datamodules.io.tables.text import text_of
from tests.datamodules.io.fuzzing import often

LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff") | st.sampled_from(
    list(",;\t\"'\n#-_. äß€0")
)
CELLS = st.text(LETTERS, max_size=8).map(str.strip)
IDS = st.text(st.sampled_from("07aP-_ ."), min_size=1, max_size=6).map(str.strip).filter(bool)
NUMBERS = st.floats(-1e6, 1e6).map(lambda value: round(value, 4))


@st.composite
def tables(draw):
    """Names of columns, ids, numbers and cells of text; a separator in a name would make another table of it."""
    names = draw(
        st.lists(CELLS.filter(lambda name: name and not {*name} & {*",;\t"}), min_size=1, max_size=4, unique=True)
    )
    assume(not {"id", "x"} & set(names))
    ids = draw(st.lists(IDS, min_size=1, max_size=5, unique=True))
    cells = [[draw(CELLS) for _ in names] for _ in ids]
    return names, ids, draw(st.lists(NUMBERS, min_size=len(ids), max_size=len(ids))), cells


def saved(header, lines, separator, encoding, end, quoting):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting)
    writer.writerows([header, *lines])
    try:
        return text.getvalue().encode(encoding)
    except UnicodeEncodeError:
        assume(False)


def read(data, name="a.csv", reader=read_table):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(data)
        return reader(file)


def attempt(what, *given, **named):
    """What it returns, or what its ValueError says."""
    try:
        return what(*given, **named), ""
    except ValueError as error:
        return None, str(error)


@often
@given(
    tables(),
    st.sampled_from(",;\t"),
    st.sampled_from(".,"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_a_random_table_is_read_back(table, separator, mark, encoding, end, quoting):
    names, ids, values, cells = table
    said = [str(value).replace(".", mark) for value in values]
    lines = [[one, text, *line] for one, text, line in zip(ids, said, cells, strict=True)]
    header = ["id", "x", *names]
    data = saved(header, lines, separator, encoding, end, quoting)
    if encoding == "cp1252":  # bytes that are UTF-8 too are taken for it
        assume(_is_cp1252(data))
    found = read(data)
    assert found.columns == ("id", "x", *names)
    rows = found.by("id")
    assert [*rows] == ids
    assert [[row[name] for name in names] for row in rows.values()] == cells
    for row, value, text in zip(rows.values(), values, said, strict=True):
        found, told = attempt(number, row, "x")
        assert found == value or ("is that" in told and mark == "," and len(text.partition(",")[2]) == 3)  # 1,234
    assert match_ids(ids, rows, Path("a.csv")) == []


def _is_cp1252(data):
    try:
        return text_of(data, Path("a.csv"))[1] == "cp1252" or data.isascii()
    except ValueError:
        return False


@often
@given(tables())
def test_a_random_workbook_is_read_back(table):
    names, ids, values, cells = table
    made = openpyxl.Workbook()
    for line in [["id", "x", *names], *([a, b, *c] for a, b, c in zip(ids, values, cells, strict=True))]:
        made.active.append([None] * len(line))
        for column, cell in enumerate(line, 1):
            place = made.active.cell(made.active.max_row, column)
            place.value, place.data_type = cell, "s" if isinstance(cell, str) else "n"
    packed = io.BytesIO()
    made.save(packed)
    rows = read(packed.getvalue(), "a.xlsx").by("id")
    assert [*rows] == ids
    assert [number(row, "x") for row in rows.values()] == values
    assert [[row[name] for name in names] for row in rows.values()] == cells


MARKS = [b"\xff\xfe", b"\xef\xbb\xbf", b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0", b"sep=;"]
PIECES = st.sampled_from([*MARKS, *b', ; \t \n \r " id 7 1,5 \0 < #N/A \xe4 \xc3\xa4'.split(b" ")])


@often
@given(st.binary(max_size=200) | st.lists(PIECES, max_size=30).map(b"".join))
def test_random_bytes_are_a_table_or_told(data):
    for reader in (read_table, read_matrix):
        found, told = attempt(read, data, reader=reader)
        assert found or ("a.csv" in told and "\n" not in told)
        if found and reader is read_table:
            assert found.rows
            assert all({*row} == {*found.columns} for row in found.rows)


@pytest.fixture(scope="module")
def workbook():
    made = openpyxl.Workbook()
    made.active.append(["id", "x"])
    made.active.append(["007", 1.5])
    packed = io.BytesIO()
    made.save(packed)
    return packed.getvalue()


@often
@given(st.data())
def test_a_damaged_workbook_is_a_table_or_told(workbook, data):
    damaged = bytearray(workbook)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(4, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(4, len(damaged)) | st.just(len(damaged)))]
    found, told = attempt(read, bytes(damaged))
    assert found or "a.csv" in told


@often
@given(st.text(st.sampled_from("0123456789.,-+eE_ #/NAnaif%"), max_size=8))
def test_a_cell_is_a_number_or_missing_or_told(text):
    value, told = attempt(number, {"x": text}, "x", where="here")
    assert value is not None or "here: x is" in told
    if value is not None and not math.isnan(value):
        assert value == float(text.replace(",", "."))
