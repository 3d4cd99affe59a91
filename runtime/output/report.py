"""The report of a run: one HTML file with every figure inside, which opens offline, and a table for the terminal."""

import base64
import html
import json
import logging
import math
import re
import struct
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from medzoo.evaluation.figures import training_figure
from medzoo.runtime.output import run_folder

__all__ = ["finish", "terminal_table", "write"]

log = logging.getLogger(__name__)

_LONG = 30  # longer tables are folded
_MANY = 6  # wider tables get a small font
_LAST = ("mistakes", "training")  # wide figures come last
_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; white-space: nowrap; }
td, th { padding: .25rem .8rem; border-bottom: 1px solid var(--line); text-align: left; }
table.dense { font-size: 12px; } table.dense td, table.dense th { padding: .2rem .35rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.figures img { width: calc(50% - .5rem); background: white; border-radius: 4px; }
.figures img.wide { width: 100%; }
.phantom { border-left: 4px solid #D55E00; padding: .5rem 1rem; background: #D55E0018; }
pre { overflow-x: auto; font-size: 12px; }
"""


def finish(run: Path, metrics: dict[str, Any], expected: Mapping[str, list[float]] | None = None) -> None:
    """Write the report and the metrics of a run, and print the table.

    Args:
        run: The run folder.
        metrics: Flat names and values.
        expected: For some metrics, the range [low, high] that the experiment states.
    """
    expected = expected or {}
    write(run, metrics, expected)
    run_folder.write_metrics(run, metrics)
    Console().print(terminal_table(metrics, expected))
    if missing := sorted(set(expected) - set(metrics)):
        log.warning("`expected` names metrics that this run did not measure: %s", ", ".join(missing))
    log.info("report: %s", run / "report.html")


def write(run: Path, metrics: dict[str, Any], expected: Mapping[str, list[float]]) -> Path:
    """Write `report.html` from the files of the run folder, with a section per stage.

    Args:
        run: The run folder.
        metrics: Flat names and values.
        expected: For some metrics, the range [low, high] that the experiment states.

    Returns:
        The file.
    """
    config = run_folder.read_yaml(run / "config.yaml")
    stages = [run / str(name) for name in config.get("stages") or {} if (run / name / "metrics.json").is_file()]
    title = "/".join(run.resolve().parts[-2:])
    warning = (
        '<p class="phantom">Trained and tested on phantom images. The numbers show that the code works; '
        "they say nothing about patients.</p>"
    )
    phantom = json.loads((run / "split.json").read_text())["phantom"]
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        warning if phantom else "",
        "<h2>Results</h2>",
        _metrics_table(metrics, expected),
        *_files_of(run),
        *chain.from_iterable(_section(stage, stage is stages[-1]) for stage in stages),
        "<h2>How it was made</h2>",
        _details("All metrics", "\n".join(f"{k}: {v:.6g}" for k, v in metrics.items() if v is not None)),
        _details("Config", OmegaConf.to_yaml(config)),
        _details("Environment", (run / "environment.txt").read_text()),
    ]
    body = "\n".join(part for part in parts if part)
    page = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
    run_folder.write_text(run / "report.html", f"{page}<style>{_STYLE}</style><body>{body}</body></html>")
    return run / "report.html"


def _section(stage: Path, is_last: bool) -> list[str]:
    """The section of a stage; the metrics of the last stage are those of the run."""
    heading = f"<h2>Stage {html.escape(stage.name)}</h2>"
    return [heading, "" if is_last else _metrics_table(run_folder.read_metrics(stage), {}), *_files_of(stage, "h3")]


def _files_of(folder: Path, heading: str = "h2") -> list[str]:
    """Pages `*.html` of a folder, its tables `test_<order>_<name>.csv` or `test_<name>.csv`, and its figures."""
    _draw_training(folder)
    pages = [file for file in sorted(folder.glob("*.html")) if file.name != "report.html"]  # each is part of a body
    parts = [file.read_text(encoding="utf-8") for file in pages]
    for file in sorted(folder.glob("test_*.csv")):
        title = html.escape(re.sub(r"^test_(\d+_)?", "", file.stem).replace("_", " "))
        title = title[:1].upper() + title[1:]
        parts += [f"<{heading}>{title}</{heading}>", _table(run_folder.read_csv(file))]
    figures = sorted((folder / "figures").glob("*.png"), key=lambda file: (file.stem in _LAST, file.stem))
    if not figures:
        return parts
    return [*parts, f"<{heading}>Figures</{heading}><div class='figures'>", *map(_image, figures), "</div>"]


def terminal_table(metrics: dict[str, Any], expected: Mapping[str, list[float]]) -> Table:
    """The main metrics, those with an expected range first.

    Args:
        metrics: Flat names and values.
        expected: For some metrics, a range [low, high].

    Returns:
        A table for rich to print.
    """
    table = Table("metric", "value", "expected")
    for name, value in _main(metrics, expected).items():
        mark = "" if name not in expected else " ✓" if _within(value, expected[name]) else " ✗"
        table.add_row(name, f"{value:.4g}", _range(expected.get(name)) + mark)
    return table


def _metrics_table(metrics: dict[str, Any], expected: Mapping[str, list[float]]) -> str:
    """Metrics with an expected range are shown, the others folded."""
    found = _main(metrics, expected)
    stated = [
        {"metric": name, "value": value, "expected": _range(expected[name])}
        for name, value in found.items()
        if name in expected
    ]
    others = [{"metric": name, "value": value} for name, value in found.items() if name not in expected]
    return _table(stated) + _table(others, "Other metrics" if stated else "")


def _main(metrics: dict[str, Any], expected: Mapping[str, list[float]]) -> dict[str, float]:
    also = ("fit/minutes", "fit/epochs", "fit/data_wait", "model/parameters")
    names = sorted(metrics, key=lambda name: (name not in expected, name))
    found = {name: metrics[name] for name in names if metrics[name] is not None}
    return {
        name: value
        for name, value in found.items()
        if name.startswith(("test/", "development/")) or name in (*also, *expected)
    }


def _within(value: float, limits: list[float]) -> bool:
    return limits[0] <= value <= limits[1]


def _range(limits: list[float] | None) -> str:
    return f"{limits[0]:g} to {limits[1]:g}" if limits else ""


def _draw_training(run: Path) -> None:
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for row in run_folder.read_csv(run / "metrics.csv"):
        for name, text in row.items():
            if text and name.startswith(("train/", "val/")):
                steps, values = curves.setdefault(name, ([], []))
                steps.append(float(row["step"]))
                values.append(float(text))
    if len(curves.get("train/loss", ([], []))[0]) > 2:  # fewer epochs show no curve
        curves.pop("train/loss_step", None)
    parts = [name for name in curves if name.endswith("_step") and name != "train/loss_step"]
    curves = {
        name: curve for name, curve in sorted(curves.items()) if name not in parts
    }  # terms of a loss are on the dashboard
    if curves:
        (run / "figures").mkdir(exist_ok=True)
        training_figure(curves).savefig(run / "figures" / "training.png")


def _table(rows: list[dict[str, Any]], folded: str = "") -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(_cell(value) for value in row.values()) + "</tr>" for row in rows)
    form = " class='dense'" if len(rows[0]) > _MANY else ""
    table = f"<table{form}><tr>{head}</tr>{body}</table>"
    title = folded or (f"{len(rows)} rows" if len(rows) > _LONG else "")
    return f"<details><summary>{title}</summary>{table}</details>" if title else table


def _cell(value: str | float) -> str:
    try:
        number = float(value)
    except ValueError:
        return f"<td>{html.escape(str(value))}</td>"
    text = "" if math.isnan(number) else f"{number:,.0f}" if number.is_integer() else f"{number:.3f}"
    return f"<td class='number'>{text}</td>"


def _details(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary><pre>{html.escape(text)}</pre></details>"


def _image(file: Path) -> str:
    content = file.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # the size in the header of a PNG
    form = "wide" if width > 1.6 * height else "square"
    return f"<img class='{form}' alt='{file.stem}' src='data:image/png;base64,{base64.b64encode(content).decode()}'>"
