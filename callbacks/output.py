"""What callbacks write into the run folder: tables, pages, pictures and figures; figures go onto dashboards too."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from medzoo.files import replacing, write_text

__all__ = ["Report", "Row", "save_figures", "write_csv", "write_report"]

Row = Mapping[str, Any]
"""A row of a table: cells by column."""


@dataclass(frozen=True)
class Report:
    """The result of a test. Paths are relative to the run folder.

    Attributes:
        metrics: By log key, such as `test/auc`.
        tables: Rows of equal keys, by path of the CSV.
        figures: By name; each becomes `figures/<name>.png`.
        vectors: Names of the figures that are written as SVG as well.
        pages: HTML, by path.
        pictures: uint8 (H, W) or (H, W, 3), by path of the PNG.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    vectors: Sequence[str] = ()
    pages: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)


def write_report(trainer: L.Trainer, report: Report) -> None:
    """Write all of a report but its metrics, which the caller logs."""
    run = Path(trainer.default_root_dir)
    for name, rows in report.tables.items():
        write_csv(run / name, rows)
    for name, page in report.pages.items():
        write_text(run / name, page)
    for name, pixels in report.pictures.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(run / name)
    if report.figures:
        save_figures(trainer, report.figures)
    for name in report.vectors:
        report.figures[name].savefig(run / "figures" / f"{name}.svg")


def write_csv(file: Path, rows: Sequence[Row]) -> None:
    """Write rows of equal keys, all or nothing."""
    with replacing(file) as partial, partial.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def save_figures(trainer: L.Trainer, figures: Mapping[str, Figure]) -> None:
    """Write `figures/<name>.png` and send them to every logger that takes images; figures of phantoms are marked."""
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
