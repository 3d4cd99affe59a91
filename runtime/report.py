"""The report of a run: one HTML file with every figure inside, which opens offline, and a table for the terminal."""

import base64
import html
import json
import math
import struct
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.table import Table

from evaluation.figures import training_figure
from runtime import run_folder

__all__ = ["terminal_table", "write"]

_LAST = ("mistakes", "training")  # wide figures go below the others
_STYLE = """
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; }
td, th { padding: .25rem .8rem; border-bottom: 1px solid var(--line); text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.figures img { width: calc(50% - .5rem); background: white; border-radius: 4px; }
.figures img.wide { width: 100%; }
.phantom { border-left: 4px solid #D55E00; padding: .5rem 1rem; background: #D55E0018; }
pre { overflow-x: auto; font-size: 12px; }
"""


def write(run: Path, expected: dict[str, Any]) -> Path:
    """Write `report.html` from what lies in the run folder.

    Args:
        run: The run folder, with `metrics.json`.
        expected: For some metrics, the range [low, high] that the experiment's author found.

    Returns:
        The file.
    """
    _draw_training(run)
    metrics = {name: value for name, value in run_folder.read_metrics(run).items() if value is not None}
    config = OmegaConf.load(run / "config.yaml")
    figures = sorted((run / "figures").glob("*.png"), key=lambda file: (file.stem in _LAST, file.stem))
    title = "/".join(run.resolve().parts[-2:])
    phantom = json.loads((run / "split.json").read_text())["phantom"]
    warning = (
        '<p class="phantom">Trained and tested on phantom images. The numbers show that the code works; '
        "they say nothing about patients.</p>"
    )
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        warning if phantom else "",
        "<h2>Results</h2>",
        _table([{"metric": k, "value": v, "expected": _range(expected.get(k))} for k, v in _main(metrics).items()]),
        "<h2>Classes</h2>" if (run / "test_classes.csv").is_file() else "",
        _table(run_folder.read_csv(run / "test_classes.csv")),
        "<h2>Figures</h2><div class='figures'>",
        *(_image(file) for file in figures),
        "</div><h2>How it was made</h2>",
        _details("All metrics", "\n".join(f"{name}: {value:.6g}" for name, value in metrics.items())),
        _details("Config", OmegaConf.to_yaml(config)),
        _details("Environment", (run / "environment.txt").read_text()),
    ]
    body = "\n".join(part for part in parts if part)
    page = f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
    run_folder.write_text(run / "report.html", f"{page}<style>{_STYLE}</style><body>{body}</body></html>")
    return run / "report.html"


def terminal_table(metrics: dict[str, float], expected: dict[str, Any]) -> Table:
    """The main metrics, with expected ranges where the experiment states them.

    Args:
        metrics: Flat names and values.
        expected: For some metrics, a range [low, high].

    Returns:
        A table for rich to print.
    """
    table = Table("metric", "value", "expected")
    for name, value in _main(metrics).items():
        mark = "" if name not in expected else " ✓" if _within(value, expected[name]) else " ✗"
        table.add_row(name, f"{value:.4g}", _range(expected.get(name)) + mark)
    return table


def _main(metrics: dict[str, float]) -> dict[str, float]:
    also = ("fit/minutes", "fit/epochs", "model/parameters")
    return {name: value for name, value in metrics.items() if name.startswith("test/") or name in also}


def _within(value: float, limits: list[float]) -> bool:
    return limits[0] <= value <= limits[1]


def _range(limits: list[float] | None) -> str:
    return f"{limits[0]:g} to {limits[1]:g}" if limits else ""


def _draw_training(run: Path) -> None:
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for row in run_folder.read_csv(run / "metrics.csv"):
        for name, text in row.items():
            if name in ("epoch", "step") or not text or name.startswith("test/") or name == "train/loss_step":
                continue
            steps, values = curves.setdefault(name, ([], []))
            steps.append(float(row["step"]))
            values.append(float(text))
    if curves:
        (run / "figures").mkdir(exist_ok=True)
        training_figure({name: curve for name, curve in curves.items() if not name.startswith("lr-")}).savefig(
            run / "figures" / "training.png"
        )


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(_cell(value) for value in row.values()) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
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
    width, height = struct.unpack(">II", content[16:24])  # where every PNG keeps its size
    form = "wide" if width > 1.6 * height else "square"
    return f"<img class='{form}' alt='{file.stem}' src='data:image/png;base64,{base64.b64encode(content).decode()}'>"
