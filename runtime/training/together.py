"""Several processes that start at once: the first one fetches and tries the data, the others wait for it.

torchrun and srun start all processes together. A process group would give up after half an hour, which is too short to
fetch a cohort. So the others wait before there is a group, for a file in the run folder that the first process keeps
touching. This works on any file system that the nodes share.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medzoo.files import write_text
from medzoo.runtime.errors import UserError
from medzoo.runtime.output.run_folder import is_first_process

__all__ = ["first_process_leads", "started_processes"]

FILE = ".first_process"
_READY = "ready"
_BEAT = 2.0  # seconds between two touches
_PATIENCE = 300.0  # seconds without one: also what a cold start of Python on a busy file server may take


def started_processes() -> int:
    """Number of processes that torchrun or srun started with this one; 1 without them."""
    by_torchrun = os.environ.get("WORLD_SIZE", "1") if "RANK" in os.environ else "1"
    by_srun = os.environ.get("SLURM_NTASKS", "1") if "SLURM_PROCID" in os.environ else "1"
    return max(int(by_torchrun), int(by_srun))


@contextmanager
def first_process_leads(folder: Path, *, several: bool) -> Iterator[None]:
    """Inside, the first process works; the others leave when it has finished.

    Args:
        folder: Holds the file; all processes see it.
        several: Whether the run has other processes; else nothing is written.

    Raises:
        UserError: On the others, if the first process ends inside.
    """
    file = folder / FILE
    if not is_first_process():
        yield
        _follow(file)
    elif several:
        with _beating(file):
            yield
        write_text(file, _READY)
    else:
        yield


@contextmanager
def _beating(file: Path) -> Iterator[None]:
    write_text(file, "")
    finished = threading.Event()

    def beat() -> None:
        while not finished.wait(_BEAT):
            file.touch()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    except BaseException:
        finished.set()
        thread.join()
        file.unlink(missing_ok=True)
        raise
    finished.set()
    thread.join()


def _follow(file: Path) -> None:
    """Wait for the end of the work of the first process; `ready` of an earlier start does, since its data are there."""
    seen, since = _seen(file), time.monotonic()
    while (now := _seen(file)) is None or now[1] != _READY:
        if now is None and seen is not None:
            raise UserError("the first process ended before the data were ready: its own message says why")
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > _PATIENCE:
            raise UserError(
                f"no sign of the first process for {_PATIENCE:.0f} s: it has died, or {file.parent} is not a folder "
                "that all nodes share"
            )
        time.sleep(0.1)


def _seen(file: Path) -> tuple[int, str] | None:
    try:
        return file.stat().st_mtime_ns, file.read_text()
    except FileNotFoundError:
        return None
