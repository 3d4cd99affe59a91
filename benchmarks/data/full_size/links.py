"""Cohorts of which a few cases are written and the others are links to them, each with an entry of its own."""

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from medzoo.datamodules.store import Entry, Job, Store

__all__ = ["LinkedStore", "link"]


def link(source: Path, target: Path) -> None:
    """Hard links of a file, or of all files of a folder, to a new place."""
    if source.is_file():
        os.link(source, target)
    else:
        shutil.copytree(source, target, copy_function=os.link)


class LinkedStore(Store):
    """Takes files of one content for different ones, so that every case has a key of its own.

    The entries of the first cases are made, those of the others are links to them.

    Args:
        folder: Of the store.
        workers: Processes that make entries.
        made: Number of entries that are made.
    """

    def __init__(self, folder: Path, workers: int, made: int) -> None:
        super().__init__(folder, workers)
        self.made = made
        self.making = 0.0  # seconds that making them took
        self.links = 0

    def known(self, files: Iterable[Path], what: str, compute: Callable[[Path], Any]) -> list[Any]:
        """As `Store.known`, with hashes of the content that depend on the path."""
        return super().known(files, what, compute if what != "sha256" else lambda file: _own(file, compute(file)))

    def fill(self, jobs: Sequence[Job], what: str) -> list[Entry]:
        """As `Store.fill`."""
        first, others = jobs[: self.made], jobs[self.made :]
        began = time.perf_counter()
        super().fill(first, what)
        self.making += time.perf_counter() - began
        for number, job in enumerate(others):
            if not (self.folder / job.key).exists():
                link(self.folder / first[number % self.made].key, self.folder / job.key)
                self.links += 1
        return super().fill(jobs, what)


def _own(file: Path, content: str) -> str:
    return sha256(f"{content} {file}".encode()).hexdigest()
