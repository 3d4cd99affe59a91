"""Text of a table: its encoding and its separator; refuses files that are not text."""

import codecs
import csv
import gzip
import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from medzoo.datamodules.io.files import opening

__all__ = ["Line", "cells_of_text", "read_bytes", "text_of"]

Line = tuple[int, list[str]]
"""Line number in the file, and stripped cells."""

_NO_TABLE = {
    b"version https://git-lfs": "a pointer of Git LFS, not the table; fetch it with git lfs pull",
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls), or one with a password; save it as CSV, or as .xlsx without one",
    b"%PDF": "a PDF; save the table as CSV",
}
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_START = 1 << 20
"""Characters of a text that contain its header."""
_NAMES = {"\t": "tabs", ";": "semicolons", ",": "commas"}


def read_bytes(file: Path) -> bytes:
    """Read the bytes of a file, which may be gzipped whatever its name.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged, or begins like another kind of file.
    """
    with opening(file, "a table"):
        data = file.read_bytes()
        data = gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    for start, what in _NO_TABLE.items():
        if data.startswith(start):
            raise ValueError(f"{file} is {what}")
    return data


def text_of(data: bytes, file: Path) -> tuple[str, str]:
    """Decode text; returns it with its encoding: by a byte-order mark, else UTF-8, else cp1252.

    Raises:
        ValueError: If it is not text, or a web page.
    """
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", "cp1252"):
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise ValueError(f"{file} is neither UTF-8, UTF-16 nor Windows text (cp1252); save it as CSV in UTF-8")
    if encoding == "cp1252" and not data.decode("utf-8", "ignore").isascii():
        raise ValueError(f"{file} mixes UTF-8 with another encoding, or is damaged; save it as CSV in UTF-8")
    if "\0" in text:
        raise ValueError(f"{file} has NUL bytes: it is damaged, no text, or UTF-16 without a mark; save it as UTF-8")
    if re.search("[\x01-\x08\x0e-\x1f]", text):
        raise ValueError(f"{file} is no text; expected a table as CSV, TSV or XLSX")
    if text.lstrip().startswith("<"):
        raise ValueError(f"{file} is a web page or XML, not a table; download the table itself, or save it as CSV")
    return text, encoding


def cells_of_text(text: str, file: Path, comment: str = "") -> tuple[Iterator[Line], str]:
    """Split text into lines of cells; returns them with the name of the separator, found by the header.

    Args:
        text: Text of the table.
        file: For messages.
        comment: Prefix of lines to skip.

    Raises:
        ValueError: If quotation marks are not closed, when that line is reached.
    """
    if comment:
        text = re.sub(rf"(?m)^{re.escape(comment)}.*$", "", text)
    hint = re.match(r'"?sep=([,;\t])"?[ \t]*(?=[\r\n])', text, re.IGNORECASE)  # a hint to Excel
    if hint:
        text = text[hint.end() :]
    separator = hint[1] if hint else _separator(text)
    return _parsed(text, separator, file), _NAMES[separator]


def _parsed(text: str, separator: str, file: Path) -> Iterator[Line]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    start = 1
    try:
        for cells in reader:
            yield start, list(map(str.strip, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{file}, line {start}: {error}; correct its quotation marks") from error


def _separator(text: str) -> str:
    """The most frequent separator in the header that splits the first lines into as many cells as the header."""
    text = text if len(text) < _START else text[:_START].rpartition("\n")[0]
    unquoted = re.sub(r'(?m)(^|[,;\t])( *)"(?:[^"]|"")*"', r"\1quoted", text) if '"' in text else text
    first = re.search(r"[^\r\n]*\S[^\r\n]*", unquoted)
    header = first[0] if first else ""
    found = sorted((one for one in "\t;," if one in header), key=header.count, reverse=True)
    return next((one for one in found if _is_even(text, one)), found[0] if found else ",")


def _is_even(text: str, separator: str) -> bool:
    ends = (found[0] for found in re.finditer(r"[^\r\n]*(\r\n|\r|\n)|[^\r\n]+", text))  # without copying the text
    lines = csv.reader(ends, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        return len({len(cells) for cells in itertools.islice(lines, 100) if any(map(str.strip, cells))}) == 1
    except csv.Error:
        return False
