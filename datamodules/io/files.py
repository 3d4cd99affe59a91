"""Files of any kind: listing a folder, errors for damaged files."""

import json
import logging
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any

from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

__all__ = [
    "hidden",
    "in_order",
    "listed",
    "opening",
    "read_json",
    "setting",
    "some",
    "spelt",
    "telling_anew",
    "told_before",
]

log = logging.getLogger(__name__)

_LEFT_BY_SYSTEMS = ("thumbs.db", "desktop.ini", "__macosx")
_CUT_SHORT = (EOFError, zlib.error, zipfile.BadZipFile, struct.error)
_LOST = (SyntaxError, TokenError, LookupError, TypeError, AttributeError, ArithmeticError)  # Pillow, numpy
_DAMAGE = (*_CUT_SHORT, *_LOST, OSError, ValueError, RuntimeError, ImageFileError, HeaderDataError, WrapStructError)


def hidden(path: Path) -> bool:
    """Whether a file or folder is not data: its name begins with a dot, or a system or an open Excel left it."""
    return path.name.startswith((".", "~$")) or path.name.lower() in _LEFT_BY_SYSTEMS


def listed(folder: Path, pattern: str = "*") -> list[Path]:
    """Paths of a folder that match a pattern, sorted; hidden files and the content of hidden folders are skipped.

    Args:
        folder: The folder.
        pattern: As for `Path.glob`; `**/*.png` searches subfolders.
    """
    found = sorted(folder.glob(pattern))
    return [path for path in found if not any(hidden(Path(part)) for part in path.relative_to(folder).parts)]


def spelt(path: Path) -> Path:
    """A path, or if it does not exist, one that differs only in case: `CT.NII.GZ` for `ct.nii.gz`."""
    if path.exists() or not path.parent.is_dir():
        return path
    return next((other for other in listed(path.parent) if other.name.lower() == path.name.lower()), path)


def in_order(name: str) -> list[tuple[int, str]]:
    """A sort key for names, so that 10 comes after 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def some(names: Sequence[str]) -> str:
    """The first five names, for a message."""
    return ", ".join(names[:5]) + ", ..." * (len(names) > 5)


def setting(key: str, value: str) -> str:
    """A config override quoted for a shell, where `(`, `*`, `{` and blanks have a meaning."""
    quoted = value.replace('"', '\\"').replace("'", "'\\''")
    return f"'{key}=\"{quoted}\"'"


_told: set[tuple[Path, str]] = set()


def told_before(file: Path, what: str) -> bool:
    """Whether this was asked before: for messages that are logged once for each file or folder."""
    before = (file, what) in _told
    _told.add((file, what))
    return before


@contextmanager
def telling_anew() -> Iterator[None]:
    """Inside, nothing was told before: what the store keeps holds all messages about its files."""
    before = _told.copy()
    _told.clear()
    try:
        yield
    finally:
        _told.update(before)


@contextmanager
def opening(file: Path, kind: str) -> Iterator[None]:
    """Turn errors of libraries at a damaged file into one line with its name.

    Args:
        file: The file to be read in the context.
        kind: What it should be, for the message: `a NIfTI volume`, `a picture`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no file {file}") from error
    except MemoryError as error:
        raise ValueError(f"{file} does not fit into memory as {kind}, or is damaged") from error
    except _DAMAGE as error:
        why = "it is cut short or damaged" if isinstance(error, (*_CUT_SHORT, *_LOST)) else " ".join(str(error).split())
        raise ValueError(f"{file} could not be read as {kind} ({why}); copy it again, or leave it out") from error


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object from a file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or holds something else.
    """
    with opening(file, "JSON"):
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    if not isinstance(content, dict):
        raise ValueError(f"{file}: expected names and values in braces; it holds {str(content)[:40]}")
    return content
