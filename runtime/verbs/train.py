"""`train.py`: train and test every stage of a run, most often one, and write the run folder."""

import logging
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.syntax import Syntax

from medzoo.runtime.build import instantiate_all
from medzoo.runtime.contracts import Compares
from medzoo.runtime.errors import UserError, data_errors, stage_errors
from medzoo.runtime.output import estimated, report, run_folder
from medzoo.runtime.plan import Plan, make_plan
from medzoo.runtime.training.costs.estimate import estimate
from medzoo.runtime.training.fit import fit
from medzoo.runtime.training.ranks import check_processes
from medzoo.runtime.training.stage import Stage
from medzoo.runtime.training.start import check_names
from medzoo.runtime.training.together import FILE, first_process_leads

__all__ = ["print_estimate", "train"]

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float | None:
    """Train, test and report one run.

    Args:
        config: As composed by Hydra from `conf/train.yaml`.

    Returns:
        The value of `optimized_metric`, for sweeps.

    Raises:
        UserError: If an input is wrong; nothing has been trained then.
    """
    run = Path(HydraConfig.get().runtime.output_dir)
    plan = make_plan(config)
    torch.set_float32_matmul_precision("high")  # tensor cores for float32 products; changes nothing on a CPU
    _check_folder(run, [*plan.stages], config.auto_resume)
    comparisons: list[Compares] = instantiate_all(plan.comparisons, "comparisons")
    stages = [Stage(name, plain, run / name, _trained(name, plain, run / name)) for name, plain in plan.stages.items()]
    several = max(check_processes(stage.config["trainer"]) for stage in stages) > 1
    with first_process_leads(run, several=several):
        _rehearse(run, plan, stages)
    metrics: dict[str, Any] = {}
    for position, stage in enumerate(stages):
        if not stage.trained:
            metrics = _run(stage, stages[:position], several)
            if stage is not stages[-1] and run_folder.is_first_process():
                Console().print(report.terminal_table(metrics, stage.config.get("expected") or {}))
    if stages[-1].name:
        metrics = run_folder.collect_metrics(run, [*plan.stages])
    if run_folder.is_first_process():
        for name, compare in zip(plan.comparisons, comparisons, strict=True):
            try:
                compare(run, name)
            except ValueError as error:  # what was trained still gets its report
                log.error("comparison %s is left out: %s", name, error)
        report.finish(run, metrics, plan.expected)
        for folder in {run, *(stage.folder for stage in stages)}:
            (folder / FILE).unlink(missing_ok=True)
    return metrics.get(plan.optimized_metric)


def print_estimate(config: DictConfig) -> None:
    """Print what every stage that is trained needs, by shapes alone; nothing is trained or written.

    Args:
        config: As composed by Hydra from `conf/train.yaml`.

    Raises:
        UserError: If an input is wrong.
    """
    found = estimate(make_plan(config))
    if not found:
        print("nothing is trained in this run: all is fitted at the end")
        return
    Console().print(estimated.table(found))
    print("\n".join(estimated.notes(found)))


def _check_folder(run: Path, names: list[str], auto_resume: bool) -> None:
    """Refuse a folder that another run has used: their files would mix."""
    if not run_folder.is_first_process():
        return
    if (run / "metrics.json").is_file():
        raise UserError(f"{run} holds a finished run: name another hydra.run.dir, or leave it out for a new folder")
    if any((run / name / run_folder.LAST).is_file() for name in names) and not auto_resume:
        raise UserError(
            f"{run} holds an unfinished run: continue it with auto_resume=true, or name another hydra.run.dir"
        )


def _trained(name: str, config: dict[str, Any], folder: Path) -> Path | None:
    """The checkpoint of a stage that is given, or that finished before the run was interrupted."""
    if not name:
        return None
    if config["ckpt_path"]:
        log.info("stage %s: taken from %s", name, config["ckpt_path"])
        return Path(config["ckpt_path"])
    if (folder / "metrics.json").is_file():
        log.info("stage %s: complete, skipped", name)
        return folder / (run_folder.BEST if config["test_checkpoint"] == "best" else run_folder.LAST)
    return None


def _rehearse(run: Path, plan: Plan, stages: list[Stage]) -> None:
    """Build and try all stages, so that a mistake in the last is found before the first is trained."""
    first = next((stage for stage in stages if not stage.trained), None)
    phantom = False
    split: dict[str, list[str]] = {}
    for stage in stages:
        with stage_errors(stage.name):
            if stage.trained:
                stage.result()
                continue
            stage.build()
            last = stage is stages[-1]
            check_names(stage.config, stage.module, ["monitor", "optimized_metric"] if last else ["monitor"])
            if run_folder.is_first_process():
                stage.prepare()
                stage.check_handed_on(stages)
                phantom, split = phantom or stage.datamodule.phantom, stage.datamodule.split or split
            if stage is not first:
                stage.clear()
    if not run_folder.is_first_process() or not split:
        return
    config = plan.config()
    if stages[-1].name and not (run / "split.json").is_file():  # a resumed run keeps its first config
        run_folder.write_start(run, config, split, phantom=phantom)
    Console().print(Syntax(OmegaConf.to_yaml(OmegaConf.create(config)), "yaml", background_color="default"))
    if phantom:
        log.info("phantom images: the numbers show that the code works and say nothing about patients")


def _run(stage: Stage, earlier: list[Stage], several: bool) -> dict[str, float]:
    """Train and test a stage, and write the metrics of a named one."""
    if stage.name:
        log.info("stage %s", stage.name)
    with stage_errors(stage.name):
        if stage.module is None:
            stage.build()
        with first_process_leads(stage.folder, several=several):
            if not stage.prepared and run_folder.is_first_process():
                stage.prepare()
                if not stage.prepared:
                    raise UserError(stage.waiting)
        with data_errors():
            metrics = fit(stage, earlier)
    if stage.name and run_folder.is_first_process():
        run_folder.write_metrics(stage.folder, metrics)
    if stage.trained:
        stage.clear()
    return metrics
