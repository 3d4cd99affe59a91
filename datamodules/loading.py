"""Batches made ahead of the step that uses them, by the worker processes of a `torch.utils.data.DataLoader`.

A batch is a function of its items, its number and the epoch, so it is the same wherever it is made. Workers are forks,
which share the memory of this process. Finished batches come back in order, through `/dev/shm`.
"""

import ctypes
import logging
import shutil
import signal
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.data import DataLoader, Dataset

__all__ = ["Ahead", "Key", "Make"]

log = logging.getLogger(__name__)

Key = tuple[Tensor, int, int]
"""The items of a batch, its number and the epoch."""
Make = Callable[[Tensor, int, int], dict[str, Any]]

_TRIED = 2
"""Batches made here first."""
_WAITING = 2
"""Finished batches of each worker that may wait for their step."""


class Ahead:
    """Makes batches in worker processes, which live as long as this object.

    The first two batches are made in this process. Their time and size tell whether workers pay off and whether
    `/dev/shm` has room for them. If not, all batches are made here.

    Args:
        make: Makes the batch of a key.
        workers: Number of processes, at least 1.
    """

    def __init__(self, make: Make, workers: int) -> None:
        self._make, self._workers = make, workers
        self._keys: list[tuple[np.ndarray, int, int]] = []  # what the workers make next
        self._loader: DataLoader[Any] | None = None

    def made(self, keys: Sequence[Key]) -> Iterator[dict[str, Any]]:
        """The batches of `keys`, in order. What `make` raises is raised here as it is.

        Raises:
            RuntimeError: If a worker was killed: `DataLoader worker ...`.
        """
        if self._loader is None and self._workers:
            for key in keys[:_TRIED]:
                began = time.perf_counter()
                batch = self._make(*key)
                seconds = time.perf_counter() - began
                yield batch
            if keys := keys[_TRIED:]:
                self._start(seconds, batch)
        if self._loader is None:
            yield from (self._make(*key) for key in keys)
            return
        self._keys[:] = [(chosen.numpy(), index, epoch) for chosen, index, epoch in keys]
        for key, ready in zip(keys, self._loader, strict=True):
            # None: it failed in the worker. Here it fails again, with the error itself and not a report of it.
            yield self._make(*key) if ready is None else _own(ready)

    def _start(self, seconds: float, batch: dict[str, Any]) -> None:
        """Start the workers, if they pay off for batches that take so long to make and are so large."""
        size = _size(batch)
        self._workers = _that_fit(self._workers, size) if seconds > 2 * handing_over(size) else 0
        if self._workers:
            _give_back_memory()  # else each worker keeps what the first steps needed
            self._loader = DataLoader(
                _Batches(self._make),
                batch_size=None,
                sampler=self._keys,
                num_workers=self._workers,
                collate_fn=_as_it_is,
                pin_memory=torch.cuda.is_available(),
                worker_init_fn=_leave_signals,
                multiprocessing_context="fork",
                generator=torch.Generator(),  # not the global one, which the training draws from
                prefetch_factor=_WAITING,
                persistent_workers=True,
            )
            # Held from outside until this object is gone: as part of a cycle of garbage, the loader would lose the
            # queues through which it ends its workers, and wait five seconds for each.
            weakref.finalize(self, _let_go, self._loader)


class _Batches(Dataset[dict[str, Any] | None]):
    """Batches by their key, in shared memory; None where making one fails."""

    def __init__(self, make: Make) -> None:
        self._make = make

    def __getitem__(self, key: tuple[np.ndarray, int, int]) -> dict[str, Any] | None:
        chosen, index, epoch = key
        try:
            batch = self._make(torch.from_numpy(chosen), index, epoch)
            return tree_map_only(Tensor, Tensor.share_memory_, batch)  # fails here, not later, if there is no room
        except Exception:
            return None


def _give_back_memory() -> None:
    """Let the allocator of glibc return what is free to the system; other ones do so by themselves."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def handing_over(size: int) -> float:
    """Seconds that this process needs for a batch of `size` bytes from a worker (`benchmarks/loading.py`)."""
    return 1e-3 + 5e-10 * size


def _that_fit(workers: int, size: int) -> int:
    """How many workers half of the free shared memory has room for; a batch that finds none kills its worker."""
    try:
        free = shutil.disk_usage("/dev/shm").free
    except FileNotFoundError:
        return workers
    fitting = min(workers, free // 2 // (_WAITING * size))
    if fitting < workers:
        log.warning(
            "/dev/shm has %.0f MB free, which is enough for %d of %d workers with batches of %.0f MB: "
            "give more with `docker run --shm-size=8g`, or set workers=%d",
            free / 2**20, fitting, workers, size / 2**20, fitting,
        )  # fmt: skip
    return fitting


def _own(batch: dict[str, Any]) -> dict[str, Any]:
    """A copy in the memory of this process: each tensor in shared memory holds a file open. Pinned ones are copies."""
    return batch if torch.cuda.is_available() else tree_map_only(Tensor, Tensor.clone, batch)


def _size(batch: dict[str, Any]) -> int:
    """Bytes of its tensors, at least 1."""
    return max(1, sum(leaf.nbytes for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)))


def _let_go(_loader: DataLoader[Any]) -> None:
    """The last to hold it."""


def _as_it_is(batch: object) -> object:
    return batch


def _leave_signals(_: int) -> None:
    """Leave to the main process what SLURM tells all of them: Lightning's handler would submit the job anew in each."""
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
