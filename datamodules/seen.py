"""Recognise the patients of a checkpoint, and match names that come in another order.

A checkpoint keeps marks (hashes), not names, of the patients used for training, validation and test and of those left
out. `evaluate.py` compares its data with them: it tests patients never seen, and none that were trained on.
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
_ENDS = 1 << 20  # bytes hashed at either end of a file; a gzip or PNG ends in a checksum of its whole content


class Seen:
    """Patients of a training, as marks of the content and the place of their files.

    Args:
        marks: (N,) int64 for `train`, `val`, `test` and `unused`; under `names`, marks of the patients' names alone.
        patients: Number of patients.
    """

    def __init__(self, marks: Mapping[str, torch.Tensor], patients: int) -> None:
        self.marks, self.patients = {name: set(values.tolist()) for name, values in marks.items()}, patients

    @classmethod
    def of(cls, patients: Mapping[str, Sequence[int]], splits: Mapping[str, Iterable[str]]) -> "Seen":
        """Build from the marks of each patient and the patients of each split."""
        chosen: dict[str, set[str]] = {name: set(splits.get(name, ())) for name in SPLITS}
        chosen["unused"] = set(patients).difference(*chosen.values())
        each = {name: [number for one in names for number in patients[one]] for name, names in chosen.items()}
        each["names"] = [mark(one) for one in patients]
        return cls({name: torch.tensor(found, dtype=torch.int64) for name, found in each.items()}, len(patients))

    def state(self) -> dict[str, Any]:
        """Plain tensors and a number, for a checkpoint."""
        marks = {name: torch.tensor(sorted(values), dtype=torch.int64) for name, values in self.marks.items()}
        return {"patients": self.patients, **marks}

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> "Seen":
        """Build from `state`."""
        return cls({name: each for name, each in state.items() if name != "patients"}, int(state["patients"]))

    def splits_of(self, *marks: Iterable[int]) -> set[str]:
        """The splits that a patient was in; empty if the patient was never seen.

        Args:
            *marks: Groups of marks, the most specific first. A later group counts only if no earlier one is known,
            since
                different patients may share a file.
        """
        for given in map(set, marks):
            if found := {name for name in (*SPLITS, "unused") if given & self.marks[name]}:
                return found
        return set()


def telling(patients: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Marks without those that several patients share, such as that of an empty slice."""
    counts = Counter(number for given in patients.values() for number in set(given))
    return {one: [number for number in given if counts[number] == 1] for one, given in patients.items()}


def mark(content: bytes | str | np.ndarray) -> int:
    """A 64-bit hash of the content, the same on every machine."""
    data = content.encode() if isinstance(content, str) else np.ascontiguousarray(content).tobytes()
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)


def mark_file(file: Path) -> int:
    """A hash of a file's size, first and last bytes; for a folder, of all files in it."""
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
    """Index into the names of a model for each name of the data; case, spaces, - and _ are ignored.

    Raises:
        ValueError: If the names differ.
    """
    data, model = list(map(str, data)), list(map(str, model))
    if data == model:
        return list(range(len(model)))
    ours, theirs = [_plain(name) for name in data], [_plain(name) for name in model]
    if len(set(theirs)) < len(theirs):  # names that differ only in case
        ours, theirs = data, model
    if len(ours) != len(theirs) or set(ours) != set(theirs):
        raise ValueError(
            f"the model knows the {what} {', '.join(model)}, the data have {', '.join(data)}: give them the names of "
            "the model, in the order of the data"
        )
    return [theirs.index(name) for name in ours]


def _plain(name: str) -> str:
    return re.sub(r"(?<=[^\W_])[\s_\-]+(?=[^\W_])", "", name.strip()).casefold()  # a minus at the end has a meaning
