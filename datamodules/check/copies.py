"""Find duplicates and near duplicates: across splits they spoil the test, with two labels one is wrong."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from medzoo.datamodules.check.listing import Findings, Item
from medzoo.datamodules.check.reading import Facts

__all__ = ["Copy", "find_copies", "nearest_before", "tell_copies"]

_BLOCK = 1024  # images compared at a time


@dataclass(frozen=True)
class Copy:
    """A duplicate or near duplicate.

    Attributes:
        first: The first image.
        second: Its duplicate.
        alike: Correlation of their thumbnails; 1 if the content is equal.
        same: Whether the content is equal.
    """

    first: Item
    second: Item
    alike: float
    same: bool

    @property
    def across(self) -> bool:
        """Whether the two are in different splits."""
        return self.first.split != self.second.split

    @property
    def one_patient(self) -> bool:
        """Whether both are of one known patient."""
        return self.first.patient == self.second.patient != ""

    @property
    def relabelled(self) -> bool:
        """Whether the two have different labels."""
        return self.first.labels != self.second.labels


def find_copies(items: Sequence[Item], facts: Sequence[Facts], near: float) -> list[Copy]:
    """Find for each image its duplicates among those before it, and its nearest near duplicate.

    Of several duplicates, one is given for each split and set of labels; of several near duplicates the nearest, and
    the nearest in another split and with other labels.

    Args:
        items: The images.
        facts: Facts of each image.
        near: Correlation of thumbnails from which two are near duplicates.
    """
    found: dict[tuple[int, int], Copy] = {}
    for second, first, alike in (*_same(items, facts), *_near(items, facts, near)):
        found.setdefault(
            (first, second), Copy(items[first], items[second], alike, facts[first].digest == facts[second].digest)
        )
    return list(found.values())


def tell_copies(copies: Sequence[Copy], findings: Findings) -> None:
    """Report copies in two splits, or with two labels, as faults."""
    for copy in copies:
        is_a = "has the same content as" if copy.same else f"is nearly ({copy.alike:.3f})"
        told = f"{copy.second.id} {is_a} {copy.first.id}"
        if copy.across:
            where = f"{copy.first.split or 'no split'} and {copy.second.split or 'no split'}"
            findings.fault("across", f"{told}, in {where}; leave out one")
        if copy.relabelled:
            labels = [", ".join(item.labels or ()) or "none" for item in (copy.second, copy.first)]
            findings.fault(
                "relabelled", f"{told}, but is {labels[0]}, not {labels[1]}; correct the label, or leave out both"
            )


def nearest_before(thumbnails: np.ndarray, codes: np.ndarray, block: int = _BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """Find for each image the nearest of those before it that differ in all codes.

    Args:
        thumbnails: (N, F), each of length 1.
        codes: (N, K) whole numbers.
        block: Rows and columns in memory at a time.

    Returns:
        (N,) indices, and (N,) correlations, -1 if there is none.
    """
    count = len(thumbnails)
    places, most = np.zeros(count, int), np.full(count, -1.0)
    for start in range(0, count, block):
        rows = slice(start, start + block)
        one = thumbnails[rows].astype(np.float32)
        for begin in range(0, start + 1, block):
            columns = slice(begin, begin + block)
            alike = one @ thumbnails[columns].astype(np.float32).T
            if begin == start:
                alike[np.triu_indices(len(alike))] = -1
            for code in codes.T:
                alike[code[rows, None] == code[None, columns]] = -1
            at = alike.argmax(1)
            value = alike[np.arange(len(alike)), at]
            better = value > most[rows]
            places[rows][better], most[rows][better] = begin + at[better], value[better]
    return places, most


def _same(items: Sequence[Item], facts: Sequence[Facts]) -> Iterator[tuple[int, int, float]]:
    """Duplicates of each image among those before it, the first of each split and set of labels."""
    before: dict[str, dict[object, int]] = defaultdict(dict)
    for second, (item, fact) in enumerate(zip(items, facts, strict=True)):
        yield from ((second, first, 1.0) for first in before[fact.digest].values())
        before[fact.digest].setdefault((item.split, item.labels), second)


def _near(items: Sequence[Item], facts: Sequence[Facts], near: float) -> Iterator[tuple[int, int, float]]:
    codes = np.stack([_numbered([fact.digest for fact in facts]), _numbered([item.split for item in items]),
                      _numbered([item.labels for item in items])], 1) if items else np.zeros((0, 3), int)  # fmt: skip
    for length in {len(fact.thumbnail) for fact in facts}:
        chosen = np.array([place for place, fact in enumerate(facts) if len(fact.thumbnail) == length])
        thumbnails = np.stack([facts[place].thumbnail for place in chosen])
        for differing in ([0], [0, 1], [0, 2]):
            if all(len(np.unique(codes[chosen, column])) > 1 for column in differing):
                places, most = nearest_before(thumbnails, codes[chosen][:, differing])
                for second in np.flatnonzero(most >= near):
                    yield int(chosen[second]), int(chosen[places[second]]), float(most[second])


def _numbered(values: Sequence[object]) -> np.ndarray:
    known = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return np.array([known[value] for value in values])
