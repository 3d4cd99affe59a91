"""Loggers that continue an interrupted run and never prompt the user."""

import csv
import logging
import os
import uuid
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch.loggers import CSVLogger, WandbLogger

from medzoo.files import write_text
from medzoo.runtime.output.run_folder import is_first_process, read_csv

__all__ = ["csv_logger", "wandb_logger"]

log = logging.getLogger(__name__)

_PATIENCE = 15  # seconds for W&B to answer


def csv_logger(save_dir: str | Path, step: int = 0) -> CSVLogger:
    """A logger that writes `<save_dir>/metrics.csv`.

    Args:
        save_dir: The run folder.
        step: The step at which a resumed run continues; rows before it are kept, later ones will be logged again.

    Returns:
        The logger.
    """
    logger = CSVLogger(str(save_dir), name="", version="")
    if not is_first_process():
        return logger
    file = Path(save_dir) / "metrics.csv"
    rows = [row for row in read_csv(file) if (row["step"] or "").isdigit()]  # a kill may cut the last row short
    kept = [row for row in rows if int(row["step"]) < step]
    file.unlink(missing_ok=True)
    if kept:
        writer = logger.experiment
        with file.open("w", newline="", encoding="utf-8") as opened:
            table = csv.DictWriter(opened, fieldnames=list(kept[0]))
            table.writeheader()
            table.writerows(kept)
        writer.metrics_keys = list(kept[0])
    return logger


def wandb_logger(
    save_dir: str | Path,
    run_name: str,
    config: dict[str, Any],
    *,
    project: str,
    monitor: str,
    mode: Literal["min", "max"],
    group: str | None = None,
) -> WandbLogger:
    """A Weights & Biases logger: online where the user is logged in, offline otherwise.

    The run id is kept in `<save_dir>/wandb_run_id.txt`, so that a resumed run continues on the same dashboard page.
    Terminal output is not captured, because messages may name files of patients.

    Args:
        save_dir: The run folder; offline data lie in its subfolder `wandb` (send them with `wandb sync`).
        run_name: Shown on the dashboard.
        config: The resolved config, shown on the dashboard.
        project: W&B project.
        monitor: The metric that decides which checkpoint is best; the dashboard sorts by its best value.
        mode: Whether its best value is the smallest or the largest.
        group: Ties the runs of a sweep together.

    Returns:
        The logger.
    """
    import wandb

    id_file = Path(save_dir) / "wandb_run_id.txt"
    if is_first_process() and not id_file.is_file():
        write_text(id_file, uuid.uuid4().hex[:12])
    os.environ.setdefault("WANDB_SILENT", "true")  # the address of the run is logged below
    connection = os.environ.get("WANDB_MODE") or _reachable()
    logger = WandbLogger(
        name=run_name,
        save_dir=str(save_dir),
        project=project,
        group=group,
        id=id_file.read_text() if id_file.is_file() else None,
        resume="allow",
        mode=connection,
        log_model=False,  # checkpoints stay here: a sweep would fill the storage
        settings=wandb.Settings(
            console="off", disable_code=True, disable_git=True, x_disable_meta=True, silent=True, init_timeout=_PATIENCE
        ),
    )
    logger._wandb_init.pop("anonymous", None)  # W&B warns of this key, whatever its value
    _start(logger)
    if is_first_process():
        logger.experiment.config.update(config, allow_val_change=True)
        logger.experiment.define_metric("val/loss", summary="min")
        logger.experiment.define_metric(monitor, summary=mode)
        where = logger.experiment.url or f"offline; send it with: wandb sync {save_dir}/wandb/offline-run-*"
        log.info("W&B: %s", where)
    return logger


def _reachable() -> str:
    """`online` if the user is logged in and the service answers, else `offline`."""
    import wandb

    if not is_first_process():  # only the first one sends
        return "offline"
    try:
        return "online" if wandb.login(prompt=False, timeout=_PATIENCE) else "offline"
    except Exception as error:  # no network, a refused key, a proxy
        log.warning("W&B: continuing offline, the service refused the login (%s)", _first_line(error))
        os.environ["WANDB_MODE"] = "offline"  # later stages need not wait again
        return "offline"


def _start(logger: WandbLogger) -> None:
    """Start the run; offline if the service fails now."""
    if not is_first_process():
        return
    try:
        _ = logger.experiment
    except Exception as error:
        if logger._wandb_init["mode"] == "offline":
            raise
        log.warning("W&B: continuing offline, the service refused the run (%s)", _first_line(error))
        logger._wandb_init["mode"] = "offline"
        logger._offline = True  # Lightning reads this
        _ = logger.experiment


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
