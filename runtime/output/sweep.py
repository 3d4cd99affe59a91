"""Sweeps: every job is a process of its own, and the summary grows as jobs finish.

Under `-m` Lightning would start its second process with `-m` again, and that process would sweep too, with other values
if the sweeper draws them. So each job starts `python train.py <its overrides>` as a single run and reads the result
from `metrics.json`. This also frees GPU memory and gives each job its own W&B run.
"""

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medzoo.evaluation.figures import grid_figure, sweep_figure
from medzoo.runtime.environment import SCRIPTS
from medzoo.runtime.errors import UserError
from medzoo.runtime.output.run_folder import read_metrics, read_yaml
from medzoo.runtime.output.tables import write_table

__all__ = ["run_job", "summarise"]

_OF_THE_SWEEP = ("hydra/sweeper", "hydra/launcher", "hydra.sweep", "hydra.launcher", "hydra.mode", "hydra.run.dir")


def run_job(config: DictConfig) -> float:
    """Run one job of a sweep in a process of its own.

    Args:
        config: The job's config.

    Returns:
        Its `optimized_metric`.

    Raises:
        UserError: If the job was given something wrong; its own message says what.
        RuntimeError: If the job failed.
    """
    hydra = HydraConfig.get()
    job = Path(hydra.runtime.output_dir)
    kept = [override for override in hydra.overrides.hydra if not override.lstrip("+~").startswith(_OF_THE_SWEEP)]
    task = [override for override in hydra.overrides.task if not override.startswith("search=")]
    verb = SCRIPTS / f"{hydra.job.config_name}.py"  # a launcher may have another argv[0]
    own = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]  # --config-dir
    flags = [word for folder in own for word in ("--config-dir", folder)]
    command = [sys.executable, str(verb), *flags, *task, *kept]
    command += [f'hydra.run.dir="{job}"', "hydra.mode=RUN"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    environment["MEDZOO_SWEEP"] = job.parent.name  # without SLURM's variables Lightning starts the processes itself
    environment |= _group_of_tasks()
    gpus = config.get("sweep_gpus")
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = str(gpus[int(hydra.job.num) % len(gpus)])
    code = subprocess.run(command, env=environment, check=False, cwd=hydra.runtime.cwd).returncode
    if code == 2:
        raise UserError(f"job {hydra.job.num} of the sweep cannot run, see above; the sweep has been stopped")
    if code:
        raise RuntimeError(f"job {hydra.job.num} of the sweep ended with exit code {code}; see {job}")
    if environment.get("RANK", "0") != "0":
        return math.nan  # the first task reports
    metric = _optimized_metric(job)
    summarise(job.parent, metric, config.get("sweep_metrics") or [], config.get("sweep_grid") or [])
    value = read_metrics(job)[metric]
    return math.nan if value is None else float(value)


def summarise(sweep: Path, metric: str, also: Sequence[str] = (), grid: Sequence[str] = ()) -> Path:
    """Write `jobs.csv`, `summary.csv` (mean and sd over the seeds of each setting) and `summary.png` of a sweep.

    With `grid` also `grid.png`.

    Args:
        sweep: Folder whose subfolders are jobs; jobs without `metrics.json` are left out.
        metric: Drawn in the figure, unless the jobs have `test/auc`.
        also: Metrics that are drawn in panels beside it, if the jobs have them.
        grid: At most three settings: for the axis, the lines and the panels.

    Returns:
        The summary.
    """
    files = sorted(sweep.glob("*/metrics.json"), key=_number)
    overrides = [_overrides(file) for file in files]
    measured = [read_metrics(file.parent) for file in files]
    both = zip(overrides, measured, strict=True)
    write_table(sweep / "jobs.csv", pd.DataFrame([{**given, **found} for given, found in both], dtype=object))

    keys = dict.fromkeys(key for given in overrides for key in given if key != "seed")
    varied = [key for key in keys if len({given.get(key) for given in overrides}) > 1]
    names = [", ".join(f"{key}={given.get(key, 'default')}" for key in varied) or "all" for given in overrides]
    metrics = pd.DataFrame(measured, dtype=float)
    runs = metrics.groupby(pd.Series(names, name="setting", dtype=object), sort=False)
    columns = {"runs": runs.size()}
    for name in sorted(metrics):
        columns |= {name: runs[name].mean(), f"{name} sd": runs[name].std()}
    summary = pd.DataFrame(columns)
    write_table(sweep / "summary.csv", summary.reset_index())

    drawn = "test/auc" if "test/auc" in metrics else metric
    panels = {
        name: [values.dropna().tolist() for _, values in runs[name]] for name in (drawn, *also) if name in metrics
    }
    sweep_figure(_shortened([*summary.index], varied), panels).savefig(sweep / "summary.png")
    if grid and drawn in metrics:
        axis, line, panel = (*grid, "", "")[:3]
        cells = [
            (given.get(axis, ""), given.get(line, ""), given.get(panel, ""), value)
            for given, value in zip(overrides, metrics[drawn], strict=True)
            if not math.isnan(value)
        ]
        grid_figure(cells, (axis, line, panel), drawn).savefig(sweep / "grid.png")
    return sweep / "summary.csv"


def _group_of_tasks() -> dict[str, str]:
    """Variables that make the tasks of a job of submitit the processes of one run; none for a job of one task.

    Such a job starts its processes itself, on its own node.
    """
    if "SUBMITIT_EXECUTOR" not in os.environ:
        return {}
    from submitit.helpers import TorchDistributedEnvironment  # late: an extra

    group = TorchDistributedEnvironment()
    if group.world_size == 1:
        return {}
    return {
        "MASTER_ADDR": group.master_addr,
        "MASTER_PORT": str(group.master_port),
        "WORLD_SIZE": str(group.world_size),
        "RANK": str(group.rank),
        "LOCAL_RANK": str(group.local_rank),
        "NODE_RANK": str(group.rank // group.local_world_size),
    }


def _optimized_metric(job: Path) -> str:
    """The metric that the sweep compares: `optimized_metric` of the last stage of a job."""
    config = read_yaml(job / "config.yaml")
    stages = [*(config.get("stages") or {}).values()]
    return str(OmegaConf.merge(config, *stages[-1:]).optimized_metric)


def _shortened(settings: list[str], keys: list[str]) -> list[str]:
    """Settings with keys cut to their last part, unless two keys share it."""
    last = [key.rpartition(".")[2] for key in keys]
    for key, part in zip(keys, last, strict=True):
        if last.count(part) == 1:
            settings = [setting.replace(f"{key}=", f"{part}=") for setting in settings]
    return settings


def _number(metrics_file: Path) -> tuple[int, str]:
    """Sort key for jobs in the order of the sweep: 2 before 10."""
    job = metrics_file.parent.name
    return len(job), job


def _overrides(metrics_file: Path) -> dict[str, str]:
    file = metrics_file.parent / ".hydra" / "overrides.yaml"
    listed = OmegaConf.to_container(OmegaConf.load(file)) if file.is_file() else []
    return dict(str(override).lstrip("+~").split("=", 1) for override in listed or [] if "=" in str(override))
