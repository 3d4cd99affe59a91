"""What all datamodules share: they know the cases of a checkpoint again, and match names that come in another order.

A checkpoint keeps marks, not names, of the patients that were trained on, validated on, tested on and left out. Data
that `evaluate.py` is given are compared with them: whoever was never seen is tested, whoever was trained on is not.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

__all__ = ["MatchedDataModule", "Seen", "mark", "mark_file", "matched", "telling"]

log = logging.getLogger(__name__)

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
        marks = {name: torch.tensor(sorted(said), dtype=torch.int64) for name, said in self.marks.items()}
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


class MatchedDataModule(L.LightningDataModule):
    """A datamodule whose test can be that of a checkpoint: `evaluate_as` comes before `setup`."""

    _seen: Seen | None = None
    _recorded: Seen | None = None

    @property
    def seen(self) -> dict[str, Any] | None:
        """Marks of the patients of every split, for the checkpoint; known after `setup`."""
        return self._recorded.state() if self._recorded else None

    def evaluate_as(self, seen: Mapping[str, Any] | None) -> None:
        """Let `setup` put into the test whom a training has never seen, and nobody whom it was trained on.

        Args:
            seen: Of the training's datamodule; without it the test is that of the data's own split.
        """
        self._seen = Seen.load(seen) if seen else None

    def use_classes(self, names: Sequence[str]) -> None:
        """Let labels mean the classes of a model, which may stand in another order.

        Args:
            names: Of the model's classes, in order.

        Raises:
            ValueError: If the data have other classes.
        """
        order = matched(self.class_names, names, "classes")  # type: ignore[attr-defined]
        if order != list(range(len(names))):
            raise ValueError(f"the classes {', '.join(names)} of the model stand in another order in these data")

    def divide(
        self,
        patients: Mapping[str, Sequence[int]],
        rule: Callable[[], Mapping[str, Sequence[str]]],
        source: Path,
    ) -> dict[str, list[str]]:
        """Who is trained on, validated on and tested on.

        Args:
            patients: All there are, with the marks of their files.
            rule: Gives the patients of each split as the arguments of the datamodule say.
            source: Where they come from.

        Returns:
            Names by `train`, `val` and `test`. Of a checkpoint's own data it is what the rule says, of other data
            everybody is tested; of a mixture those who are new and those whom the training held out for the test.

        Raises:
            ValueError: If nobody is left to test on.
        """
        place = source.resolve()
        content = telling(patients)
        marks = {
            one: ([mark(f"{place}/{one}")], [mark(f"{one} {sorted(given)}")], content[one])
            for one, given in patients.items()
        }
        if self._seen is None:
            splits = {name: list(names) for name, names in rule().items()}
            self._recorded = Seen.of({one: [*chain(*given)] for one, given in marks.items()}, splits)
            return splits
        before = {one: self._seen.splits_of(*given) for one, given in marks.items()}
        new = [one for one, where in before.items() if not where]
        if len(new) == len(before):
            self._tell_all(new, source)
            return {"train": [], "val": [], "test": new}
        if new or len(before) != self._seen.patients:
            splits = {name: [one for one, where in before.items() if name in where] for name in SPLITS}
        else:
            splits = {name: list(names) for name, names in rule().items()}
        trained = {one for one, where in before.items() if "train" in where or where == {"val"}}
        tested = [one for one in splits["test"] if one not in trained]
        left = len(splits["test"]) - len(tested)
        if not (new or tested):
            raise ValueError(f"{source}: the model was trained on all that would be tested; name other data")
        if new or left:
            log.warning(
                "%s: tested are %d patients whom the training never saw and %d whom it held out; "
                "%d whom it was trained or chosen on are left out",
                source, len(new), len(tested), len(trained) if new else left,
            )  # fmt: skip
        return {**splits, "test": [*tested, *new]}

    def _tell_all(self, new: Sequence[str], source: Path) -> None:
        assert self._seen is not None
        log.info("%s: no patient of it was seen in training, so all %d are tested", source, len(new))
        same = sum(mark(one) in self._seen.marks["names"] for one in new)
        if same and not getattr(self, "phantom", False):
            log.warning(
                "%s: %d of its patients have names of the training data, but other files: they count as others",
                source, same,
            )  # fmt: skip


def telling(patients: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Marks without those that several patients have in common, such as that of an empty slice."""
    counts = Counter(number for given in patients.values() for number in set(given))
    return {one: [number for number in given if counts[number] == 1] for one, given in patients.items()}


def mark(content: bytes | str | np.ndarray) -> int:
    """A number of 64 bits that stands for what is given, the same on every machine."""
    data = content.encode() if isinstance(content, str) else np.ascontiguousarray(content).tobytes()
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big", signed=True)


def mark_file(file: Path) -> int:
    """The same of a file's size, first and last bytes."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        ends = opened.read(_ENDS)
        if size > 2 * _ENDS:
            opened.seek(-_ENDS, 2)
        ends += opened.read()
    return mark(f"{size}".encode() + ends)


def matched(data: Sequence[str], model: Sequence[str], what: str) -> list[int]:
    """Where each name of the data stands among those of a model; case, spaces, - and _ are passed over.

    Args:
        data: Names in the order of the data.
        model: Names in the order of the model.
        what: They are of, for the message.

    Returns:
        An index into `model` for each of `data`.

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
