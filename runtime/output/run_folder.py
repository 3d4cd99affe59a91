"""The folder of a run: its files, and how a run is found again.

    config.yaml  metrics.json  metrics.csv  split.json  environment.txt  test_classes.csv  report.html
    checkpoints/{best,last}.ckpt  figures/*.png  predictions/*.csv

`metrics.json` is written last: a folder without it is an unfinished run. A run of several stages holds such a folder
for each stage (`runtime/composing/stages.py`).
"""

import csv
import importlib.metadata
import json
import math
import os
import platform
import shlex
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medzoo.files import write_text
from medzoo.runtime.composing.plain import plain
from medzoo.runtime.composing.renamed import with_new_names
from medzoo.runtime.environment import IN_CHECKOUT, SCRIPTS

__all__ = [
    "collect_metrics",
    "environment",
    "find_unfinished",
    "is_first_process",
    "newest_checkpoint",
    "read_csv",
    "read_metrics",
    "read_yaml",
    "settings_digest",
    "write_metrics",
    "write_start",
]

BEST, LAST = Path("checkpoints") / "best.ckpt", Path("checkpoints") / "last.ckpt"
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")  # of torchrun, Lightning and srun
_HOW_NOT_WHAT = ("auto_resume", "ckpt_path", "workers", "store_dir", "expected")  # else they are the same run


def is_first_process() -> bool:
    """Whether this process writes: the only one, or rank 0 of several, however they were started."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


def write_metrics(run: Path, metrics: dict[str, Any]) -> None:
    """Write `metrics.json`, which marks the run or the stage as finished."""
    finite = {name: value is not None and math.isfinite(value) for name, value in metrics.items()}
    plain = {name: value if finite[name] else None for name, value in metrics.items()}  # JSON has no NaN
    write_text(run / "metrics.json", json.dumps(plain, indent=2, sort_keys=True))


def write_start(run: Path, config: dict[str, Any], split: dict[str, list[str]], *, phantom: bool) -> None:
    """Write what is known before training: config, split, phantom or not, environment."""
    write_text(run / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(config)))
    digest = sha256(json.dumps(split, sort_keys=True).encode()).hexdigest()
    counts = {name: len(ids) for name, ids in split.items()}
    write_text(run / "split.json", json.dumps({"sha256": digest, "phantom": phantom, "counts": counts, "ids": split}))
    write_text(run / "environment.txt", environment())


def environment() -> str:
    """Command, commit, machine and package versions, one per line."""
    git = _git("rev-parse", "HEAD")
    changed = " (with uncommitted changes)" if git and _git("status", "--porcelain") else ""
    import torch  # late: looking for a run should not wait for it

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    packages = sorted({f"{p.name}=={p.version}" for p in importlib.metadata.distributions()}, key=str.lower)
    facts = [
        f"command: {shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])}",
        f"commit: {git or 'unknown'}{changed}",
        f"python: {platform.python_version()}",
        f"system: {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, GPUs: {', '.join(gpus) or 'none'}",
        "packages:",
        *(f"  {package}" for package in packages),
    ]
    return "\n".join(facts) + "\n"


def _git(*arguments: str) -> str:
    """What git says of the checkout; nothing of a wheel, which may lie in a repository of the user."""
    if not IN_CHECKOUT:
        return ""
    try:
        return subprocess.run(
            ["git", *arguments], cwd=SCRIPTS, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def read_metrics(run: Path) -> dict[str, Any]:
    """`metrics.json` of a run; empty if it did not finish."""
    file = run / "metrics.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def collect_metrics(run: Path, names: list[str]) -> dict[str, Any]:
    """Metrics of a run of several stages: those of earlier stages are prefixed with the stage's name.

    Args:
        run: The run folder; stages that it did not train are left out.
        names: Names of all stages, in order.

    Returns:
        Flat names and values; `fit/minutes` is the sum over the stages.
    """
    found = {name: read_metrics(run / name) for name in names}
    metrics = {f"{name}/{key}": value for name in names[:-1] for key, value in found[name].items()}
    minutes = {f"{name}/fit/minutes": m["fit/minutes"] for name, m in found.items() if m}
    return {**metrics, **minutes, **found[names[-1]], "fit/minutes": sum(minutes.values())}


def read_csv(file: Path) -> list[dict[str, str]]:
    """Rows of a CSV file; empty if there is no file."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def read_yaml(file: Path) -> DictConfig:
    """A config that a run wrote, with its interpolations."""
    config = OmegaConf.load(file)
    assert isinstance(config, DictConfig)
    return config


def find_unfinished(runs: Path, config: DictConfig) -> Path | None:
    """The newest run of the same config that has a checkpoint but did not finish.

    Args:
        runs: Folder of the runs of one experiment.
        config: As composed, interpolations not resolved, as Hydra writes it to `.hydra/config.yaml`.

    Returns:
        Its folder, or None.
    """
    wanted, stages = _what(config), config.get("stages") or [""]
    found = (run / name / LAST for run in runs.glob("*") for name in stages)
    for last in sorted((file for file in found if file.is_file()), key=_written, reverse=True):
        run = runs / last.relative_to(runs).parts[0]
        written = run / ".hydra" / "config.yaml"
        if (run / "metrics.json").is_file() or not written.is_file():
            continue
        if _what(read_yaml(written)) == wanted:
            return run
    return None


def settings_digest(config: DictConfig) -> str:
    """Eight hex digits that two runs share if they train the same, as far as their config says.

    Args:
        config: As composed, interpolations not resolved.
    """
    return sha256(json.dumps(_what(config), sort_keys=True, default=str).encode()).hexdigest()[:8]


def _what(config: DictConfig) -> dict[str, Any]:
    """What a run trains; the ranges that its numbers are held against change none of it."""
    found = {key: value for key, value in with_new_names(plain(config)).items() if key not in _HOW_NOT_WHAT}
    for stage in (found.get("stages") or {}).values():
        if isinstance(stage, dict):
            stage.pop("expected", None)
    return found


def newest_checkpoint(runs: Path) -> Path | None:
    """The last checkpoint of the newest run in a folder of runs."""
    return max((run / LAST for run in runs.glob("*") if (run / LAST).is_file()), key=_written, default=None)


def _written(file: Path) -> float:
    return file.stat().st_mtime
