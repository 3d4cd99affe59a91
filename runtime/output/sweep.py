"""Sweeps: every job is a fresh process, and the sweep is summed up as its jobs finish.

Under `-m` Lightning would start its second process with `-m` again, which then sweeps by itself, with other values
where the sweeper draws them. So a job of a sweep starts `python train.py <its overrides>` as a single run and reads the
result from `metrics.json`. That also returns GPU memory and gives each job its own W&B run.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medzoo.evaluation.figures import grid_figure, sweep_figure
from medzoo.runtime.environment import SCRIPTS
from medzoo.runtime.errors import UserError
from medzoo.runtime.output.run_folder import read_metrics, write_text

__all__ = ["run_job", "summarise"]

_OF_THE_SWEEP = ("hydra/sweeper", "hydra/launcher", "hydra.sweep", "hydra.launcher", "hydra.mode", "hydra.run.dir")


def run_job(config: DictConfig) -> float:
    """Run one job of a sweep in a process of its own.

    Args:
        config: The job's config.

    Returns:
        Its `optimized_metric`.

    Raises:
        UserError: If something given to the job was wrong; what it printed says what.
        RuntimeError: If the job failed.
    """
    hydra = HydraConfig.get()
    job = Path(hydra.runtime.output_dir)
    kept = [override for override in hydra.overrides.hydra if not override.lstrip("+~").startswith(_OF_THE_SWEEP)]
    task = [override for override in hydra.overrides.task if not override.startswith("search=")]
    verb = SCRIPTS / f"{hydra.job.config_name}.py"  # a launcher may have another argv[0]
    command = [sys.executable, str(verb), *task, *kept]
    command += [f'hydra.run.dir="{job}"', "hydra.mode=RUN"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    environment["MEDZOO_SWEEP"] = job.parent.name  # without SLURM's variables Lightning starts its processes itself
    gpus = config.get("sweep_gpus")
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = str(gpus[int(hydra.job.num) % len(gpus)])
    code = subprocess.run(command, env=environment, check=False, cwd=hydra.runtime.cwd).returncode
    if code == 2:
        raise UserError(f"job {hydra.job.num} of the sweep cannot run, see above; the sweep has been stopped")
    if code:
        raise RuntimeError(f"job {hydra.job.num} of the sweep ended with exit code {code}; see {job}")
    metric = _optimized_metric(job)
    summarise(job.parent, metric, config.get("sweep_metrics") or [], config.get("sweep_grid") or [])
    return float(read_metrics(job)[metric])


def summarise(sweep: Path, metric: str, also: Sequence[str] = (), grid: Sequence[str] = ()) -> Path:
    """Write `jobs.csv`, `summary.csv` (mean and sd over the seeds of each setting) and `summary.png` of a sweep.

    With `grid` also `grid.png`.

    Args:
        sweep: Folder whose subfolders are jobs; jobs without `metrics.json` are left out.
        metric: Drawn in the figure, or `test/auc` in its place where there is one.
        also: Metrics that are drawn in panels beside it, where the jobs have them.
        grid: At most three settings: along the axis, by line, by panel.

    Returns:
        The summary.
    """
    jobs = [(_overrides(file), read_metrics(file.parent)) for file in sorted(sweep.glob("*/metrics.json"), key=_number)]
    keys = dict.fromkeys(key for overrides, _ in jobs for key in overrides if key != "seed")
    varied = [key for key in keys if len({overrides.get(key) for overrides, _ in jobs}) > 1]
    settings: dict[str, list[dict[str, Any]]] = {}
    for overrides, metrics in jobs:
        name = ", ".join(f"{key}={overrides.get(key, 'default')}" for key in varied) or "all"
        settings.setdefault(name, []).append(metrics)
    names = sorted({name for _, metrics in jobs for name in metrics})
    write_text(sweep / "jobs.csv", _csv([{**overrides, **metrics} for overrides, metrics in jobs]))
    rows = []
    for setting, runs in settings.items():
        row: dict[str, Any] = {"setting": setting, "runs": len(runs)}
        for name in names:
            values = [run[name] for run in runs if name in run]
            row[name] = statistics.mean(values) if values else ""
            row[f"{name} sd"] = statistics.stdev(values) if len(values) > 1 else ""
        rows.append(row)
    write_text(sweep / "summary.csv", _csv(rows))
    drawn = "test/auc" if "test/auc" in names else metric
    panels = {
        name: [[run[name] for run in runs if name in run] for runs in settings.values()]
        for name in [drawn, *also]
        if name in names
    }
    sweep_figure(_shortened(list(settings), varied), panels).savefig(sweep / "summary.png")
    axis, line, panel = (*grid, "", "", "")[:3]
    cells = [
        (job.get(axis, ""), job.get(line, ""), job.get(panel, ""), metrics[drawn])
        for job, metrics in jobs
        if drawn in metrics
    ]
    if grid and cells:
        grid_figure(cells, (axis, line, panel), drawn).savefig(sweep / "grid.png")
    return sweep / "summary.csv"


def _optimized_metric(job: Path) -> str:
    """The metric that the sweep compares, by the resolved config of a job: that of its last stage."""
    config = OmegaConf.load(job / "config.yaml")
    assert isinstance(config, DictConfig)
    stages = [*(config.get("stages") or {}).values()]
    return str(OmegaConf.merge(config, *stages[-1:]).optimized_metric)


def _shortened(settings: list[str], keys: list[str]) -> list[str]:
    """Settings by the last parts of their keys, where these are not those of two keys."""
    last = [key.rpartition(".")[2] for key in keys]
    for key, part in zip(keys, last, strict=True):
        if last.count(part) == 1:
            settings = [setting.replace(f"{key}=", f"{part}=") for setting in settings]
    return settings


def _number(metrics_file: Path) -> tuple[int, str]:
    """Jobs in the order in which the sweep began them: 2 before 10."""
    job = metrics_file.parent.name
    return len(job), job


def _overrides(metrics_file: Path) -> dict[str, str]:
    file = metrics_file.parent / ".hydra" / "overrides.yaml"
    listed = OmegaConf.to_container(OmegaConf.load(file)) if file.is_file() else []
    return dict(str(override).lstrip("+~").split("=", 1) for override in listed or [] if "=" in str(override))


def _csv(rows: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(_quoted(name) for name in columns)]
    lines += [",".join(_quoted(row.get(name, "")) for name in columns) for row in rows]
    return "\n".join(lines) + "\n"


def _quoted(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text
