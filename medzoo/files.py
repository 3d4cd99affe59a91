"""Files that appear when they are complete; every room writes with this."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing", "write_between", "write_text"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that replaces `path` once it is written, so that no partial file is ever seen.

    It keeps the ending of `path`, since libraries choose a format by it, and is removed after an error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.getpid()}.partial.{path.name}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    """Write a text, all or nothing."""
    with replacing(file) as partial:
        partial.write_text(text, encoding="utf-8")


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two markers of a page, all or nothing.

    Args:
        page: The file.
        begin: First marker, once in the page.
        end: The marker that ends it, first of its kind after `begin`.
        text: Stands between them, in lines of its own.

    Raises:
        ValueError: If `begin` is not there once, or no `end` follows.
    """
    before, *rest = page.read_text(encoding="utf-8").split(begin)
    if len(rest) != 1 or end not in rest[0]:
        raise ValueError(f"{page}: expected `{begin}` once, and `{end}` after it")
    write_text(page, f"{before}{begin}\n\n{text.strip()}\n\n{end}{rest[0].partition(end)[2]}")
