"""Trains what a table needs and has not yet: each setting and seed has a folder, named by its settings."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from hydra.core.hydra_config import HydraConfig

from medzoo.runtime.cli import words_for_hydra
from medzoo.runtime.composing.compose import compose
from medzoo.runtime.environment import SCRIPTS
from medzoo.runtime.output.run_folder import read_metrics, settings_digest

__all__ = ["Job", "job_of", "train_missing"]


@dataclass(frozen=True)
class Job:
    """One run of `train.py`, or of a module that takes its words.

    Args:
        words: Its command line, without the folder; the first is `-m <module>` for a module.
        folder: Of the run; holds `metrics.json` once it is finished.
    """

    words: tuple[str, ...]
    folder: Path

    @property
    def command(self) -> list[str]:
        """As a user would write it, without the folder."""
        module = self.words[0].startswith("-m ")
        return ["python", *(self.words[0].split() if module else ["train.py"]), *self.words[int(module) :]]

    @property
    def done(self) -> bool:
        """Whether it is finished."""
        return bool(self.metrics)

    @property
    def metrics(self) -> dict[str, Any]:
        """What it measured; empty unless it is finished."""
        return read_metrics(self.folder)


def job_of(words: Sequence[str], seed: int, runs: Path) -> Job:
    """The run of some words with a seed.

    Its folder is `<runs>/<experiment>/seed_<seed>_<digest of the config>`, with the module's name in front of `seed`
    where there is one: a run of another config is another run, and tables share runs. A change of the code does not
    show in it.

    Args:
        words: Of the command line.
        seed: Added to them.
        runs: Folder of all runs.
    """
    given = (*words, f"seed={seed}")
    module = given[0].removeprefix("-m ").rpartition(".")[2] + "_" if given[0].startswith("-m ") else ""
    config = compose("train", words_for_hydra([*given[bool(module) :]], "train"))
    experiment = str(HydraConfig.get().runtime.choices.experiment)
    return Job(given, runs / experiment / f"{module}seed_{seed}_{settings_digest(config)}")


def train_missing(jobs: Iterable[Job], at_once: int = 1) -> list[Job]:
    """Train the jobs that are not finished, each in a process of its own, and say how long the rest will take.

    An interrupted job continues from its checkpoint. Its output is in `<folder>.log`.

    Args:
        jobs: In order.
        at_once: Number of processes, which share the cores.

    Returns:
        Jobs that failed.
    """
    waiting = [job for job in dict.fromkeys(jobs) if not job.done]
    minutes: dict[tuple[str, ...], list[float]] = {}
    failed = []
    with ThreadPoolExecutor(at_once) as pool:
        running = {pool.submit(_train, job, at_once): job for job in waiting}
        for number, each in enumerate(as_completed(running), 1):
            job = running.pop(each)
            minutes.setdefault(job.words[:-1], []).append(each.result())
            if not job.done:
                failed.append(job)
            said = "done" if job.done else f"FAILED, see {job.folder}.log"
            left = _minutes_left([job.words[:-1] for job in running.values()], minutes) / at_once
            took = f"{each.result():.1f} minutes; about {left:.0f} minutes left"
            print(f"{number} of {len(waiting)}: {' '.join(job.command[1:])}: {said}, {took}", flush=True)
    return failed


def _minutes_left(waiting: Sequence[tuple[str, ...]], minutes: dict[tuple[str, ...], list[float]]) -> float:
    """By the runs of the same setting, or of all settings where none has run yet."""
    usual = mean(value for values in minutes.values() for value in values)
    return sum(mean(minutes.get(words, [usual])) for words in waiting)


def _train(job: Job, at_once: int) -> float:
    """Train one job; returns the minutes it took."""
    log = job.folder.with_name(f"{job.folder.name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, *job.command[1:], f'hydra.run.dir="{job.folder.absolute()}"', "auto_resume=true"]
    threads = str(max(1, (os.cpu_count() or 1) // at_once))
    environment = {"OMP_NUM_THREADS": threads, **os.environ}
    began = time.perf_counter()
    with log.open("w") as output:
        subprocess.run(command, cwd=SCRIPTS, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False)
    return (time.perf_counter() - began) / 60
