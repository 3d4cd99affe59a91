"""One entry of the store: a folder with arrays and `facts.json`, which appears when it is complete."""

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from medzoo.datamodules.io import read_json
from medzoo.datamodules.store.arrays import StoredArray, Streamed, write_blocks, write_plain

__all__ = ["Entry", "Made", "is_entry", "write_entry"]

_FACTS = "facts.json"


@dataclass(frozen=True)
class Made:
    """What a maker returns, to be kept.

    Args:
        arrays: By name, written in this order.
        facts: Plain values that JSON can hold.
        blocks: Names of the arrays that are large and read in parts; they are compressed.
    """

    arrays: Mapping[str, np.ndarray | Streamed]
    facts: Mapping[str, Any] = field(default_factory=dict)
    blocks: Collection[str] = ()


class Entry:
    """What is kept of one input.

    Args:
        folder: Of `write_entry`.
    """

    def __init__(self, folder: Path) -> None:
        content = read_json(folder / _FACTS)
        self.facts: dict[str, Any] = content["facts"]
        self._told: list[tuple[str, int, str]] = content["told"]
        self.arrays = {
            name: StoredArray(folder / about["file"], about["shape"], about["dtype"])
            for name, about in content["arrays"].items()
        }

    def __getitem__(self, name: str) -> StoredArray:
        return self.arrays[name]

    @property
    def told(self) -> list[tuple[str, int, str]]:
        """What was logged when the entry was made: the logger's name, the level and the message."""
        return [(name, level, message) for name, level, message in self._told]


def is_entry(folder: Path) -> bool:
    """Whether a folder holds a complete entry."""
    return (folder / _FACTS).is_file()


def write_entry(folder: Path, made: Made, told: Collection[tuple[str, int, str]] = ()) -> None:
    """Write an entry in one step.

    Args:
        folder: Does not exist; a folder beside it, which an interrupted run may have left, is replaced.
        made: Its content.
        told: What was logged meanwhile: the logger's name, the level and the message.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        about = {}
        for name, array in made.arrays.items():
            if name in made.blocks and not isinstance(array, Streamed) and array.size > 0:
                file = f"{name}.b2nd"
                write_blocks(partial / file, array)
            else:
                file = f"{name}.npy"
                write_plain(partial / file, array)
            about[name] = {"file": file, "shape": array.shape, "dtype": array.dtype.str}
        (partial / _FACTS).write_text(json.dumps({"facts": dict(made.facts), "arrays": about, "told": list(told)}))
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
