"""Makers of entries; as a program it fills a store: python -m tests.datamodules.store.makers store folder workers."""

import logging
import sys
import time
from pathlib import Path

import numpy as np

from medzoo.datamodules.store import Job, Made, Store

log = logging.getLogger("medzoo.datamodules.tests")


def text_of(file: Path, settings: tuple[str, float]) -> Made:
    """The bytes of a file; notes that it was called, and takes its time."""
    calls, seconds = settings
    with Path(calls).open("a") as opened:
        opened.write(f"{file.name}\n")
    time.sleep(seconds)
    content = file.read_bytes()
    if content.startswith(b"bad"):
        raise ValueError(f"{file}: damaged")
    if content.startswith(b"odd"):
        log.warning("%s is odd", file.name)
    values = np.frombuffer(content, np.uint8)
    volume = np.arange(20 * 30 * 40, dtype=np.uint16).reshape(1, 20, 30, 40) + values[0]
    return Made({"bytes": values, "volume": volume}, {"size": len(content)}, blocks=("volume",))


def jobs(store: Store, folder: Path, seconds: float = 0.0) -> list[Job]:
    """A job for each file of a folder; calls are noted beside it."""
    settings = (str(folder.parent / "calls"), seconds)
    return [store.job(file.name, text_of, file, [file], settings) for file in sorted(folder.iterdir())]


def calls(folder: Path) -> list[str]:
    """The files that were read, in order of name."""
    noted = folder.parent / "calls"
    return sorted(noted.read_text().split()) if noted.is_file() else []


if __name__ == "__main__":
    made = Store(sys.argv[1], workers=int(sys.argv[3]))
    made.fill(jobs(made, Path(sys.argv[2]), seconds=0.05), "files")
