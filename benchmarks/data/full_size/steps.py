"""Train a cohort by the command line, and watch its first steps from outside: times, and memory of all processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import lightning as L

from benchmarks import ROOT

__all__ = ["NoteSteps", "Watched", "watch"]

_FILE = "MEDZOO_BENCHMARK_STEPS"
_TIMEOUT = 3600.0


class NoteSteps(L.Callback):
    """Writes the times of the steps to the file that the environment names; `watch` ends the run after the last."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *batch: object) -> None:
        """Note when a step of the first process begins."""
        self.times.append(time.time())
        if trainer.global_rank == 0:
            file = Path(os.environ[_FILE])
            file.with_suffix(".new").write_text(json.dumps(self.times))
            file.with_suffix(".new").replace(file)


@dataclass(frozen=True)
class Watched:
    """What was seen of a training.

    Args:
        start: Seconds from the command to the first step, whose batch is there.
        step: Seconds of a step, without the first half of them.
        memory: Most GB of all processes together, without files in the page cache; what processes share counts once.
        output: What the command printed.
    """

    start: float
    step: float
    memory: float
    output: str


def watch(words: Sequence[str], folder: Path, steps: int) -> Watched:
    """Run `train.py` with words of the command line until it begins the last of some steps.

    Raises:
        RuntimeError: If it ends before that.
    """
    folder.mkdir(parents=True)
    file, log = folder / "steps.json", folder / "log.txt"
    note = "+callbacks.note_steps._target_=benchmarks.data.full_size.steps.NoteSteps"
    command = [sys.executable, "train.py", *words, note, f"hydra.run.dir={folder / 'run'}", "logger=csv_only"]
    environment = {**os.environ, _FILE: str(file), "MEDZOO_TRUST": "benchmarks"}
    began, memory = time.time(), 0.0
    with log.open("w") as opened:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=opened, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        times: list[float] = []
        while len(times) < steps:
            if process.poll() is not None or time.time() - began > _TIMEOUT:
                raise RuntimeError(f"{' '.join(command)}: ended before step {steps}\n{log.read_text()[-4000:]}")
            memory = max(memory, sum(map(private_bytes, _session(process.pid))))
            time.sleep(0.5)
            times = json.loads(file.read_text()) if file.is_file() else []
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    half = len(times) // 2
    return Watched(times[0] - began, (times[-1] - times[half - 1]) / (len(times) - half), memory / 1e9, log.read_text())


def private_bytes(process: int) -> int:
    """Resident bytes of a process without mapped files; pages that several processes share are divided among them."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    found = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines[1:])}
    return 1024 * (found["Pss_Anon"] + found["Pss_Shmem"])


def _session(leader: int) -> list[int]:
    """All processes of the session of a process."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == leader:
            found.append(int(stat.parent.name))
    return found
