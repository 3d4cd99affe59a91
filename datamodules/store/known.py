"""What is known of files, such as a hash of their content: computed once for each version of a file."""

import json
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from medzoo.datamodules.io.files import listed, opening

__all__ = ["KnownFiles", "content"]

log = logging.getLogger(__name__)

_THREADS = 4


class KnownFiles:
    """Remembers values of files in a text file of lines of JSON, which several processes append to.

    A version of a file is told by its path, size, inode and times.

    Args:
        file: The text file; made when the first value is added.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._values: dict[str, Any] | None = None

    def of(self, files: Iterable[Path], what: str, compute: Callable[[Path], Any]) -> list[Any]:
        """The value of each file, computed by threads where it is not known.

        Args:
            files: Files.
            what: Name of the value.
            compute: Computes a plain value from a file.
        """
        values, files = self._read(), list(files)
        names = [_version(file, what) for file in files]
        missing = {name: file for name, file in zip(names, files, strict=True) if name not in values}
        if missing:
            with ThreadPoolExecutor(_THREADS) as pool:
                new = dict(zip(missing, pool.map(compute, missing.values()), strict=True))
            values |= new
            self._append(new)
        return [values[name] for name in names]

    def _read(self) -> dict[str, Any]:
        if self._values is None:
            self._values = {}
            for line in self._file.read_text().splitlines() if self._file.is_file() else ():
                try:
                    name, value = json.loads(line)
                    self._values[name] = value
                except (ValueError, TypeError):  # a line that was cut off when a process was killed
                    continue
        return self._values

    def _append(self, values: dict[str, Any]) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as opened:  # a line break first: the line before may have been cut off
                opened.write("".join(f"\n{json.dumps([name, value])}" for name, value in values.items()))
        except OSError as error:
            log.warning("%s: not written, so files are read again in the next run: %s", self._file, error)


def content(file: Path) -> str:
    """A hash of the whole content of a file, or of all files of a folder."""
    if file.is_dir():
        inside = [(each.name, content(each)) for each in listed(file, "**/*") if each.is_file()]
        return sha256(json.dumps(inside).encode()).hexdigest()
    with opening(file, "a file"), file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()


def _version(file: Path, what: str) -> str:
    files = [file, *(each for each in listed(file, "**/*") if each.is_file())] if file.is_dir() else [file]
    with opening(file, "a file"):
        found = [(str(each.absolute()), each.stat()) for each in files]
    facts = [(path, at.st_size, at.st_ino, at.st_mtime_ns, at.st_ctime_ns) for path, at in found]
    return sha256(json.dumps([what, facts]).encode()).hexdigest()[:32]
