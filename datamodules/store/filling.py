"""Make the missing entries of a store by several processes, which may belong to several runs."""

import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from rich.progress import Progress

from medzoo.datamodules.io import some
from medzoo.datamodules.io.files import telling_anew
from medzoo.datamodules.store.entry import Made, is_entry, write_entry

__all__ = ["Job", "fill"]

log = logging.getLogger(__name__)

_FEW = 8  # as many are made in this process: a worker takes seconds to start
_EVERY = 30.0  # seconds between two lines of progress in a log


@dataclass(frozen=True)
class Job:
    """An entry to make.

    Args:
        key: Of `Store.key`.
        name: Names the input in messages.
        make: Reads it; a function of a module or a `partial` of one, so that another process can call it.
    """

    key: str
    name: str
    make: Callable[[], Made]


def fill(folder: Path, jobs: Sequence[Job], what: str, workers: int) -> None:
    """Make the entries that are missing. Entries that another process is making are waited for.

    Args:
        folder: Of the store.
        jobs: All entries; those that exist are skipped.
        what: Such as `head CTs`, for messages.
        workers: Number of processes; 0 or 1 to use this one only.

    Raises:
        ValueError: If inputs cannot be read; the message counts them.
        OSError: If the disk is full.
    """
    missing = list({job.key: job for job in jobs if not is_entry(folder / job.key)}.values())
    if not missing:
        return
    random.Random(os.getpid()).shuffle(missing)  # ranks that start together share the work
    many = len(missing) > _FEW
    if many:
        log.info("%s: %d of %d to be prepared, once, in %s", what, len(missing), len(jobs), folder)
    wrong: dict[str, str] = {}
    for job, error in _watched(_made(folder, missing, workers if many else 0), len(missing), what, many):
        if error:
            wrong[job.name] = error
    if wrong:
        also = f"; {len(wrong)} of {len(jobs)} are like this: {some(sorted(wrong))}" if len(wrong) > 1 else ""
        raise ValueError(wrong[min(wrong)] + also)


def _made(folder: Path, jobs: list[Job], workers: int) -> Iterator[tuple[Job, str]]:
    """Every job once it is done, with its error or an empty string."""
    if workers < 2:
        for job in jobs:
            error = _make(folder, job, hold=-1)
            yield job, error or ""
        return
    workers = min(workers, len(jobs))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_one_thread) as pool:
        try:
            waiting = {pool.submit(_make, folder, job): job for job in jobs}
            while waiting:
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    job, error = waiting.pop(done), done.result()
                    if error is None:  # made by another process at the moment
                        waiting[pool.submit(_make, folder, job, hold=0.2)] = job
                    else:
                        yield job, error
        except BrokenProcessPool as error:
            raise OSError(
                f"a process that prepares data in {folder} was killed; if memory ran out, take fewer of them: workers=1"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _make(folder: Path, job: Job, hold: float = 0) -> str | None:
    """Make one entry; returns an error or an empty string, or None if it was locked for `hold` seconds."""
    try:
        with FileLock(folder / "locks" / job.key[:3], timeout=hold):
            if not is_entry(folder / job.key):
                with _listening() as told:
                    made = job.make()
                write_entry(folder / job.key, made, told)
            return ""
    except Timeout:
        return None
    except (ValueError, FileNotFoundError) as error:
        return str(error)
    except OSError as error:
        raise OSError(
            f"{folder}: could not keep {job.name} ({error.strerror or error}); free some space by "
            "`python prepare.py store=clear`, or name another folder with MEDZOO_STORE"
        ) from error


@contextmanager
def _listening() -> Iterator[list[tuple[str, int, str]]]:
    """What this room logs meanwhile; it is told by `Entry.tell`, in the process that asked for the entry."""
    told: list[tuple[str, int, str]] = []
    room = logging.getLogger("medzoo.datamodules")
    listener = logging.Handler()
    listener.emit = lambda record: told.append((record.name, record.levelno, record.getMessage()))  # type: ignore[method-assign]
    before = room.propagate, room.handlers
    room.propagate, room.handlers = False, [listener]
    try:
        with telling_anew():
            yield told
    finally:
        room.propagate, room.handlers = before


def _watched(made: Iterator[tuple[Job, str]], count: int, what: str, many: bool) -> Iterator[tuple[Job, str]]:
    """Show progress with the time left: a bar in a terminal, a line every half a minute in a log."""
    began = last = time.monotonic()
    with Progress(transient=True, disable=not many) as bar:
        task = bar.add_task(what, total=count)
        for number, each in enumerate(made, start=1):
            yield each
            bar.advance(task)
            now = time.monotonic()
            if now - last > _EVERY and not bar.console.is_terminal:
                last = now
                log.info(
                    "%s: %d of %d, %.0f min left", what, number, count, (now - began) / number * (count - number) / 60
                )


def _one_thread() -> None:
    torch.set_num_threads(1)
