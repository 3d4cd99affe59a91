"""Files that appear when they are complete; every room writes with this."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing", "write_text"]


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
