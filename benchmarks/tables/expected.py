"""The `expected` ranges of a demo, rebuilt from several seeds.

A range is the 95% prediction interval of one further run, mean ± t(0.975, n - 1) · SD · sqrt(1 + 1/n) (3.0 SD for five
seeds), but at least 2% of the mean to each side, since other machines round differently. It is rounded outwards, and
ends at 0 and 1 where all runs lie between them. A p value (`..._p`) is left as it is: what is asked of it is to be
small. So is a metric that no seed changes, such as a share of few cases: seeds do not say how much it may differ.
"""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from scipy import stats

from benchmarks.tables.card import finished
from benchmarks.tables.cells import mean_and_sd
from benchmarks.tables.text import numbers
from benchmarks.tables.training import job_of
from medzoo.files import write_text
from medzoo.runtime.composing.compose import compose
from medzoo.runtime.environment import CONF
from medzoo.runtime.plan import make_plan

__all__ = ["prediction_range", "rebuild", "with_ranges"]

FLOOR = 0.02


def rebuild(experiment: str, seeds: Sequence[int], *, runs: Path, at_once: int = 1, only_write: bool = False) -> int:
    """Train what is missing and write the ranges into the experiment's YAML.

    Args:
        experiment: Name in conf/experiment.
        seeds: Three or more.
        runs: Folder of all runs.
        at_once: Runs at a time.
        only_write: Train nothing.

    Returns:
        0 if they were written, 1 if runs are missing.

    Raises:
        ValueError: If the experiment does not exist or expects nothing, a metric was not measured, or seeds are few.
    """
    file = CONF / "experiment" / f"{experiment}.yaml"
    if not file.is_file():
        raise ValueError(f"no experiment {experiment!r} in conf/experiment")
    if len(seeds) < 3:
        raise ValueError(f"seeds {numbers(seeds)}: a range needs three or more")
    before = make_plan(compose("train", [f"experiment={experiment}"])).expected
    if not before:
        raise ValueError(f"conf/experiment/{experiment}.yaml has no `expected`: name its metrics there first")
    jobs = [job_of([f"experiment={experiment}"], seed, runs) for seed in seeds]
    if not finished(jobs, at_once, only_write=only_write):
        return 1
    values = {name: [job.metrics.get(name) for job in jobs] for name in before if not name.endswith("_p")}
    if lacking := [name for name, found in values.items() if None in found]:
        raise ValueError(f"{', '.join(lacking)}: not measured by every run of {experiment}")
    measured = {name: [float(value) for value in found] for name, found in values.items()}
    for name in [name for name, found in measured.items() if max(found) - min(found) < 1e-6]:
        print(f"{name}: {before[name]} is left, since it is {measured.pop(name)[0]:.4g} with every seed")
    write_text(file, with_ranges(file.read_text(encoding="utf-8"), measured))
    for name, found in measured.items():
        print(f"{name}: {before[name]} was expected; {_list(prediction_range(found))} now, of {_list(found)}")
    return 0


def prediction_range(values: Sequence[float]) -> tuple[float, float]:
    """The range of a metric, as the module says."""
    count, centre = len(values), mean(values)
    half = float(stats.t.ppf(0.975, count - 1)) * stdev(values) * math.sqrt(1 + 1 / count)
    half = max(half, FLOOR * abs(centre))
    step = 10.0 ** (math.floor(math.log10(half)) - 1) if half else 1.0
    low, high = math.floor((centre - half) / step) * step, math.ceil((centre + half) / step) * step
    if all(0 <= value <= 1 for value in values):
        low, high = max(low, 0.0), min(high, 1.0)
    return _clean(low, step), _clean(high, step)


def with_ranges(text: str, values: Mapping[str, Sequence[float]]) -> str:
    """The YAML with the ranges of these metrics, each with mean ± SD in a comment.

    Args:
        text: The YAML; each metric has its range on a line of its own.
        values: Of each metric over the seeds.

    Raises:
        ValueError: If a metric's line is not there once.
    """
    for name, found in values.items():
        low, high = prediction_range(found)
        digits = max(3, -math.floor(math.log10(high - low)) + 1) if high > low else 3
        line = f"{name}: [{low:g}, {high:g}] # {mean_and_sd(found, digits)}"
        text, count = re.subn(rf"(?m)^( *){re.escape(name)}: \[.*$", lambda match, line=line: match[1] + line, text)
        if count != 1:
            raise ValueError(f"{name}: expected its range on one line of the experiment's YAML, found {count}")
    return text


def _clean(value: float, step: float) -> float:
    return round(value, max(0, -math.floor(math.log10(step))))


def _list(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:.4g}' for value in values)}]"
