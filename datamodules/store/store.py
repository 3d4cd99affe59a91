"""The store of a machine: entries by key, and what is known of the files they were made of."""

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from medzoo.datamodules.store.entry import Entry, Made, is_entry
from medzoo.datamodules.store.filling import Job, fill
from medzoo.datamodules.store.known import KnownFiles, content

__all__ = ["Store"]


class Store:
    """Entries in a folder, shared by all processes and runs that name it.

    Args:
        folder: The folder; None for `MEDZOO_STORE`, or `data/store`.
        workers: Processes that make missing entries.
    """

    def __init__(self, folder: str | Path | None = None, workers: int = 0) -> None:
        self.folder = Path(folder or os.environ.get("MEDZOO_STORE") or "data/store")
        self.workers = workers
        self._known = KnownFiles(self.folder / "known.jsonl")

    def known(self, files: Iterable[Path], what: str, compute: Callable[[Path], Any]) -> list[Any]:
        """A value of each file, such as a hash, which is computed once for each version of the file."""
        return self._known.of(files, what, compute)

    def job(
        self, name: str, make: Callable[[Any, Any], Made], inputs: object, files: Iterable[Path], settings: object
    ) -> Job:
        """An entry for `fill`, made by `make(inputs, settings)`.

        Args:
            name: Names the input in messages; not part of the key.
            make: A function of a module. Its code, and all code of ours that its module imports, is part of the key.
            inputs: What is read; not part of the key.
            files: The files of `inputs`, in order; their content is part of the key, their paths are not.
            settings: Part of the key, by its `repr`.
        """
        made_of = [code_of(make.__module__), make.__qualname__, self.known(files, "sha256", content), repr(settings)]
        key = sha256(json.dumps(made_of).encode()).hexdigest()[:32]
        return Job(key, name, partial(make, inputs, settings))

    def fill(self, jobs: Sequence[Job], what: str) -> list[Entry]:
        """Make the entries that are missing, and open all.

        Args:
            jobs: Of `job`.
            what: Names the inputs in messages.

        Returns:
            Their entries, in order.

        Raises:
            ValueError: If inputs cannot be read; the message counts them.
            OSError: If the disk is full.
        """
        fill(self.folder, jobs, what, self.workers)
        entries = [Entry(self.folder / job.key) for job in jobs]
        for name, level, message in dict.fromkeys(told for entry in entries for told in entry.told):
            logging.getLogger(name).log(level, "%s", message)
        for job in jobs:
            os.utime(self.folder / job.key)  # last use, by which `shrink` chooses
        return entries

    def entries(self) -> list[tuple[Path, int, float]]:
        """Folder, bytes and time of the last use of every entry, the least recently used first."""
        folders = [each for each in self.folder.iterdir() if is_entry(each)] if self.folder.is_dir() else []
        sizes = [sum(file.stat().st_size for file in folder.iterdir()) for folder in folders]
        found = [(folder, size, folder.stat().st_mtime) for folder, size in zip(folders, sizes, strict=True)]
        return sorted(found, key=lambda entry: entry[2])

    def shrink(self, most: float) -> int:
        """Delete the least recently used entries until `most` bytes are left; 0 deletes all.

        Returns:
            Number of deleted entries.
        """
        entries, count = self.entries(), 0
        left = sum(size for _, size, _ in entries)
        for folder, size, _ in entries:
            if left <= most:
                break
            gone = folder.with_name(f".{folder.name}.partial")
            folder.replace(gone)  # at once, so that no reader sees half an entry
            shutil.rmtree(gone)
            left, count = left - size, count + 1
        for rest in self.folder.glob(".*.partial") if most == 0 else ():
            shutil.rmtree(rest, ignore_errors=True)
        return count


@cache
def code_of(name: str) -> str:
    """A hash of the source of a module and of what it imports of `medzoo` and of its own package."""
    found: dict[str, ModuleType] = {}
    waiting, packages = [name], {"medzoo", name.partition(".")[0]}
    while waiting:
        module = sys.modules[waiting.pop()]
        if module.__name__ in found or module.__name__.partition(".")[0] not in packages or not module.__file__:
            continue
        found[module.__name__] = module
        used = (getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in vars(module).values())
        waiting += [each for each in used if isinstance(each, str) and each in sys.modules]
    files = sorted(str(module.__file__) for module in found.values())
    return sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()
