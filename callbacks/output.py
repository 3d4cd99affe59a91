"""What callbacks write into the run folder: tables as CSV, figures as PNG and onto dashboards."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from matplotlib.figure import Figure

__all__ = ["save_figures", "write_csv"]


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys, all or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    with partial.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(file)


def save_figures(trainer: L.Trainer, figures: Mapping[str, Figure]) -> None:
    """Write `figures/<name>.png` and send them to every logger that takes images; those of phantoms say so."""
    folder = Path(trainer.default_root_dir) / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    phantom = getattr(getattr(trainer, "datamodule", None), "phantom", False)
    for name, figure in figures.items():
        file = folder / f"{name}.png"
        if phantom:
            figure.text(1, 0, "phantom", ha="right", va="top", size=8, color="gray")
        figure.savefig(file, bbox_inches="tight" if phantom else None)
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image(f"figures/{name}", [str(file)])
