"""How data know the patients of a checkpoint again, and match names that come in another order.

A checkpoint keeps marks, not names, of the patients that were trained on, validated on, tested on and left out. Data
that `evaluate.py` is given are compared with them: whoever was never seen is tested, whoever was trained on is not.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medzoo.datamodules.io.files import listed, opening

__all__ = ["SPLITS", "Seen", "mark", "mark_file", "matched", "telling"]

SPLITS = ("train", "val", "test")
_ENDS = 1 << 20  # bytes at either end of a file that tell it from others; a gzip or PNG ends in a checksum of all of it


class Seen:
    """Patients of a training, by mark: of their files' content, and of where they lay.

    Args:
        marks: By `train`, `val`, `test` and `unused`, (N,) int64; by `names`, marks of the patients' names alone.
        patients: How many there were.
    """

    def __init__(self, marks: Mapping[str, torch.Tensor], patients: int) -> None:
        self.marks, self.patients = {name: set(values.tolist()) for name, values in marks.items()}, patients

    @classmethod
    def of(cls, patients: Mapping[str, Sequence[int]], splits: Mapping[str, Iterable[str]]) -> "Seen":
        """From the marks of each patient and the patients of each split."""
        chosen: dict[str, set[str]] = {name: set(splits.get(name, ())) for name in SPLITS}
        chosen["unused"] = set(patients).difference(*chosen.values())
        each = {name: [number for one in names for number in patients[one]] for name, names in chosen.items()}
        each["names"] = [mark(one) for one in patients]
        return cls({name: torch.tensor(found, dtype=torch.int64) for name, found in each.items()}, len(patients))

    def state(self) -> dict[str, Any]:
        """Tensors and a number, for a checkpoint."""
        marks = {name: torch.tensor(sorted(values), dtype=torch.int64) for name, values in self.marks.items()}
        return {"patients": self.patients, **marks}

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> "Seen":
        """From `state`."""
        return cls({name: each for name, each in state.items() if name != "patients"}, int(state["patients"]))

    def splits_of(self, *marks: Iterable[int]) -> set[str]:
        """In which a patient was; empty for one that was never seen.

        Args:
            *marks: Those that tell most come first: others count where they are unknown, since files may be the same
                though patients are not.
        """
        for given in map(set, marks):
            if found := {name for name in (*SPLITS, "unused") if given & self.marks[name]}:
                return found
        return set()


def telling(patients: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Marks without those that several patients have in common, such as that of an empty slice."""
    counts = Counter(number for given in patients.values() for number in set(given))
    return {one: [number for number in given if counts[number] == 1] for one, given in patients.items()}


def mark(content: bytes | str | np.ndarray) -> int:
    """A number of 64 bits that stands for what is given, the same on every machine."""
    data = content.encode() if isinstance(content, str) else np.ascontiguousarray(content).tobytes()
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)


def mark_file(file: Path) -> int:
    """The same of a file's size, first and last bytes; of a folder, of all files in it."""
    if file.is_dir():
        return mark(str(sorted(mark_file(each) for each in listed(file) if each.is_file())))
    with opening(file, "an image"), file.open("rb") as opened:
        size = file.stat().st_size
        ends = opened.read(_ENDS)
        if size > 2 * _ENDS:
            opened.seek(-_ENDS, 2)
        ends += opened.read()
    return mark(f"{size}".encode() + ends)


def matched(data: Sequence[str], model: Sequence[str], what: str) -> list[int]:
    """An index into the names of a model for each of the data; case, spaces, - and _ are passed over.

    Raises:
        ValueError: If they are not the same names.
    """
    data, model = list(map(str, data)), list(map(str, model))
    if data == model:
        return list(range(len(model)))
    ours, theirs = [_plain(name) for name in data], [_plain(name) for name in model]
    if len(set(theirs)) < len(theirs):  # told apart by their case alone
        ours, theirs = data, model
    if len(ours) != len(theirs) or set(ours) != set(theirs):
        raise ValueError(
            f"the model knows the {what} {', '.join(model)}, the data have {', '.join(data)}: give them the names of "
            "the model, in the order of the data"
        )
    return [theirs.index(name) for name in ours]


def _plain(name: str) -> str:
    return re.sub(r"(?<=[^\W_])[\s_\-]+(?=[^\W_])", "", name.strip()).casefold()  # a minus at an end says something
