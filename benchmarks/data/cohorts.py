"""Training on cohorts of the size of published studies: memory, first and second start.

2,206 head CTs of 30 x 512 x 512 voxels (`hematoma_segmentation`), 1,200 patients with CT, MR and tiles
(`liver_unimodal` with all modalities) and 107,180 colour images of 224 pixels (`medmnist_classification`) are trained
by four processes on the CPU (gloo), each with a worker that makes its batches. Of CTs and patients, 40 are written and
prepared; the others are links to them, but each has files, a key and an entry of its own. The first start is a second
one and the time that preparing takes, in proportion to the cases that were prepared. The network is narrow, so that
four fit beside each other.

Memory is the most that all processes hold together, without files in the page cache. The peer is what every process
held before there was a store: all cases (62.5 MB a CT as float32 and mask, 5.3 MB a patient). The second start is timed
from the command to the first step, whose batch is there. Its peer is the first start, since without a store each start
read everything. Cases/s are those of the narrow network on the cores of this machine. It takes half an hour and 45 GB
for temporary files (`TMPDIR`).
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.data.full_size.cohorts import COHORTS, Cohort
from benchmarks.data.full_size.links import LinkedStore
from benchmarks.data.full_size.steps import watch
from benchmarks.tables.row import Row, print_rows
from medzoo.runtime.build import instantiate
from medzoo.runtime.composing.compose import compose
from medzoo.runtime.composing.resolvers import register_resolvers
from medzoo.runtime.plan import make_plan

__all__ = ["run"]

MEMORY_GB, START_S = 8.0, 30.0


def run(
    *,
    names: Sequence[str] = tuple(COHORTS),
    cases: int | None = None,
    made: int | None = None,
    processes: int = 4,
) -> list[Row]:
    """Measure each cohort.

    Args:
        names: Of `COHORTS`.
        cases: Cases of each; by default as many as the studies have.
        made: How many of them are written.
        processes: Processes that train.

    Returns:
        Four rows for each cohort: memory, first and second start, and cases/s.
    """
    register_resolvers()
    rows = []
    for name in names:
        cohort = COHORTS[name]
        with tempfile.TemporaryDirectory() as folder:
            rows += _measured(cohort, Path(folder), cases or cohort.cases, made or cohort.made, processes)
    return rows


def _measured(cohort: Cohort, folder: Path, cases: int, made: int, processes: int) -> list[Row]:
    cohort.write(folder / "cohort", cases, made)
    trainer = ["accelerator=cpu", f"devices={processes}", "strategy=auto", "max_epochs=1", "limit_val_batches=1"]
    words = [*cohort.words(folder / "cohort"), *(f"trainer.{each}" for each in trainer)]
    words += [f"store_dir={folder / 'store'}", "workers=1"]
    data = next(iter(make_plan(compose("train", words)).stages.values()))["datamodule"]
    preparing = _prepare(data, folder / "store", cases, made)
    watched = watch(words, folder / "watched", steps=12)
    per_step = processes * int(data.get("batch_size") or data["plan"]["batch_size"])
    before = processes * cases * cohort.case_mb / 1000
    first = preparing + watched.start
    return [
        Row(f"{cohort.title}: memory of all processes", "GB", watched.memory, before, MEMORY_GB / before,
            higher_is_better=False, remark=f"goal: {MEMORY_GB:g} GB"),
        Row(f"{cohort.title}: first start", "s", first, None, remark="preparing is once for all runs"),
        Row(f"{cohort.title}: second start", "s", watched.start, first, START_S / first, higher_is_better=False,
            remark=f"goal: {START_S:g} s"),
        Row(f"{cohort.title}: training", "cases/s", per_step / watched.step, None),
    ]  # fmt: skip


def _prepare(config: dict[str, Any], store: Path, cases: int, made: int) -> float:
    """Fill the store; returns the seconds that it takes for all cases, by two processes."""
    datamodule = instantiate(config, "datamodule")
    datamodule.store = linked = LinkedStore(store, workers=2, made=made)
    began = time.perf_counter()
    datamodule.setup("fit")
    taken = time.perf_counter() - began
    return taken if linked.links == 0 else linked.making * cases / made + taken - linked.making


if __name__ == "__main__":
    print_rows("cohorts", run())
