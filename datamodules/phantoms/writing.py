"""How a synthetic cohort gets onto the disk: all or nothing, once, by several processes."""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

__all__ = ["appearing", "is_there", "pool", "write_table"]


def is_there(root: Path, record: dict[str, Any]) -> bool:
    """Whether this very cohort is complete."""
    mark = root / "phantom.json"
    if mark.is_file() and json.loads(mark.read_text()) == record:
        return True
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} holds something else than this cohort; choose another root, or delete it")
    return False


@contextmanager
def appearing(root: Path) -> Iterator[Path]:
    """A folder beside `root` that takes its place when all is written, and goes away otherwise."""
    root.parent.mkdir(parents=True, exist_ok=True)
    folder = root.with_name(f".{root.name}.{os.getpid()}.partial")
    try:
        folder.mkdir()
        yield folder
        if root.is_dir():
            root.rmdir()  # empty, or `is_there` would have refused
        folder.rename(root)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pool(workers: int) -> Iterator[Any]:
    """`map` over that many processes; with one, the built-in."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=4)


def write_table(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows that have the same keys as a CSV."""
    rows = list(rows)
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
