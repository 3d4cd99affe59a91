"""Writes a table into its card, after training what it lacks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from benchmarks import ROOT
from benchmarks.tables.cells import cells
from benchmarks.tables.description import Table
from benchmarks.tables.text import facts_of, markdown, markers, numbers
from benchmarks.tables.training import Job, job_of, train_missing
from medzoo.files import write_between

__all__ = ["finished", "write_card"]

SHOWN = {
    "seeds": "means ± SD over seeds {seeds}",
    "interval": "what no seed changes with its 95% interval",
    "same": "what no seed changes without ±",
    "ensemble": "ensembles are the mean probabilities of these seeds, with the 95% interval of the test cases",
}


def write_card(name: str, table: Table, *, runs: Path, at_once: int = 1, only_write: bool = False) -> int:
    """Train what is missing and write the table.

    Args:
        name: Of the table.
        table: Its description.
        runs: Folder of all runs.
        at_once: Runs at a time.
        only_write: Train nothing.

    Returns:
        0 if it was written, 1 if runs are missing; the card then stays as it was.

    Raises:
        ValueError: If the card has no place for it, or a run lacks a metric.
    """
    jobs: dict[str, list[Job]] = {}
    for run, words, seed in table.jobs():
        jobs.setdefault(run, []).append(job_of(words, seed, runs))
    if not finished([job for each in jobs.values() for job in each], at_once, only_write=only_write):
        return 1
    rows = [[*line.label, *cells(line, table, jobs.get(line.run or "", []))] for line in table.rows]
    text = markdown([[*table.label, *table.columns, "minutes"], *rows])
    write_between(ROOT / table.card, *markers(name), f"{text}\n\n{_note(name, table, jobs)}")
    print(text)
    return 0


def finished(jobs: Sequence[Job], at_once: int, *, only_write: bool) -> bool:
    """Whether all jobs are finished, after training the others unless nothing is to be trained."""
    missing = [job for job in jobs if not job.done] if only_write else train_missing(jobs, at_once)
    for job in missing:
        print(f"missing: {' '.join(job.command)} ({job.folder})")
    return not missing


def _note(name: str, table: Table, jobs: Mapping[str, Sequence[Job]]) -> str:
    """What the numbers are, the command that makes them, and what it costs."""
    each = [job for some in jobs.values() for job in some]
    if not each:
        return f"`python -m benchmarks.tables {name}`"
    shown = dict.fromkeys(line.show for line in table.rows if line.run)
    said = "; ".join(SHOWN[show] for show in shown).format(seeds=numbers(table.seeds))
    total = sum(float(job.metrics["fit/minutes"]) for job in each)
    day = datetime.fromtimestamp(max((job.folder / "metrics.json").stat().st_mtime for job in each)).date()
    facts = facts_of([job.folder for job in each])
    return (
        f"{said[0].upper()}{said[1:]}. Minutes are those of training: of one seed, of all for an ensemble.\n"
        f"`python -m benchmarks.tables {name}`: {total:.0f} minutes for {len(each)} runs; {day}, {facts}."
    )
