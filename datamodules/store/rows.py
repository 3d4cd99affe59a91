"""Images of one shape in the files of several entries, of which rows are read."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from medzoo.datamodules.store.entry import Entry

__all__ = ["StoredRows"]

_AT_ONCE = 256


class StoredRows:
    """Like an array (N, *shape): indexing by rows reads them, and `of` selects rows without reading.

    Args:
        entries: Their `images` (n, *shape) follow each other; `marks` (n,) are hashes of the images.
        rows: Rows of all entries together that this object holds; None for all.
    """

    def __init__(self, entries: Sequence[Entry], rows: np.ndarray | None = None) -> None:
        self._entries = list(entries)
        self._ends = np.cumsum([len(entry["images"]) for entry in self._entries])
        self._rows = np.arange(self._ends[-1]) if rows is None else rows
        self.shape = (len(self._rows), *self._entries[0]["images"].shape[1:])
        self.dtype = self._entries[0]["images"].dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self), _AT_ONCE):
            yield from self[np.arange(start, min(start + _AT_ONCE, len(self)))]

    def __getitem__(self, chosen: ArrayLike) -> np.ndarray:
        """Images of some rows: (n, *shape), or (*shape) of one number."""
        rows = np.atleast_1d(self._rows[np.asarray(chosen)])
        images = self._gathered("images", rows)
        return images[0] if np.ndim(chosen) == 0 else images

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return self._gathered("images", self._rows).astype(dtype or self.dtype, copy=False)

    def of(self, chosen: np.ndarray) -> "StoredRows":
        """The rows of a mask (N,) bool, or of indices."""
        return StoredRows(self._entries, self._rows[chosen])

    @classmethod
    def joined(cls, parts: Sequence["StoredRows"]) -> "StoredRows":
        """The rows of several objects, one after the other."""
        before = np.cumsum([0, *(part._ends[-1] for part in parts)])
        rows = [part._rows + start for part, start in zip(parts, before, strict=False)]
        return cls([entry for part in parts for entry in part._entries], np.concatenate(rows))

    @property
    def marks(self) -> np.ndarray:
        """(N,) int64 hashes of the images."""
        return self._gathered("marks", self._rows)

    def _gathered(self, name: str, rows: np.ndarray) -> np.ndarray:
        first = self._entries[0][name]
        found = np.empty((len(rows), *first.shape[1:]), first.dtype)
        places = np.searchsorted(self._ends, rows, side="right")
        for place in np.unique(places):
            here = places == place
            before = self._ends[place - 1] if place else 0
            found[here] = self._entries[place][name].mapped()[rows[here] - before]
        return found
