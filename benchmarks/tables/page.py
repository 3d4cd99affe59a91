"""The page of all benchmarks: each section says what was compared, on which machine, and how to repeat it."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import torch

from benchmarks.tables.row import HEADER, Row

__all__ = ["machine", "read_sections", "section", "write_page"]

_HEAD = """# Benchmarks

Written by `python -m benchmarks.run`; do not edit. Each table is one run on one machine: read the ratios, not the
seconds, and repeat it on yours. Both sides do the same work, which each benchmark checks, and run alternately.

No GPU was at hand for any of them. `python -m benchmarks.gpu` measures training steps on one.
"""


def machine() -> str:
    """CPU, cores, threads, load, accelerator and versions, in one line."""
    cores = f"{os.cpu_count()} logical cores, {torch.get_num_threads()} torch threads"
    # numbers from a busy machine are unreliable, so the page records the load
    load = f", load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{_cpu_model()}, {cores}{load}, {gpu}, torch {torch.__version__}, Python {platform.python_version()}"


def _cpu_model() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def section(name: str, docstring: str, rows: Sequence[Row], where: str) -> str:
    """One benchmark in Markdown.

    Args:
        name: The benchmark's module.
        docstring: The module's docstring; it says what is compared and how.
        rows: Its measurements.
        where: A description of the machine.

    Returns:
        The text under the section's heading.
    """
    table = [HEADER, ("---",) * len(HEADER), *(row.cells for row in rows)]
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    repeat = f"Repeat it with `python -m benchmarks.run {name}`."
    return "\n\n".join([docstring.strip(), "\n".join(lines), f"{date.today()}: {where}. {repeat}"])


def read_sections(page: Path) -> dict[str, str]:
    """The text under each benchmark's heading of an existing page; empty if there is no page."""
    if not page.is_file():
        return {}
    parts = page.read_text(encoding="utf-8").split("\n## ")[1:]
    return {name.strip(): text.strip() for name, _, text in (part.partition("\n") for part in parts)}


def write_page(page: Path, sections: Mapping[str, str]) -> None:
    """Write the page, benchmarks in alphabetical order."""
    page.parent.mkdir(parents=True, exist_ok=True)
    parts = [_HEAD, *(f"## {name}\n\n{sections[name]}\n" for name in sorted(sections))]
    page.write_text("\n".join(parts), encoding="utf-8")
