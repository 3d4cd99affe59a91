"""Runs the benchmarks, prints their tables and writes docs/benchmarks.md: `python -m benchmarks.run [name ...]`.

A benchmark is a module of one of `ROOMS` with `run() -> list[Row]`; its docstring says what is compared. If names are
given, only those run, and the other sections of the page are not changed.
"""

import argparse
import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from benchmarks import ROOT
from benchmarks.tables.page import machine, read_sections, section, write_page
from benchmarks.tables.row import print_rows

__all__ = ["discover", "main"]

PAGE = ROOT / "docs" / "benchmarks.md"
ROOMS = ("benchmarks", "benchmarks.data", "benchmarks.networks", "benchmarks.training")


def discover() -> dict[str, ModuleType]:
    """The modules of all rooms that have a `run`, by name."""
    rooms = [importlib.import_module(room) for room in ROOMS]
    names = {
        found.name: f"{room.__name__}.{found.name}" for room in rooms for found in pkgutil.iter_modules(room.__path__)
    }
    modules = {name: importlib.import_module(names[name]) for name in sorted(names)}
    return {name: module for name, module in modules.items() if hasattr(module, "run")}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the named benchmarks, or all.

    Args:
        arguments: Names and `--output FILE`; if none, those of the command line.
    """
    known = discover()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Time the zoo against its peers.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"one or more of {', '.join(known)}; default: all")
    parser.add_argument("--output", type=Path, default=PAGE, help="the page to write (default: docs/benchmarks.md)")
    chosen = parser.parse_args(arguments)
    if unknown := [name for name in chosen.names if name not in known]:
        parser.error(f"no benchmark '{unknown[0]}'; choose from {', '.join(known)}")
    sections = {name: text for name, text in read_sections(chosen.output).items() if name in known}
    for name in chosen.names or known:
        where = machine()  # before the benchmark itself loads the machine
        try:
            rows = known[name].run()
        except (ImportError, SystemExit) as missing:  # a peer without which nothing can be compared
            print(f"{name}: left out, {missing}")
            sections.setdefault(name, f"{(known[name].__doc__ or '').strip()}\n\nNot run: {missing}.")
            write_page(chosen.output, sections)
            continue
        print_rows(name, rows)
        sections[name] = section(name, known[name].__doc__ or "", rows, where)
        write_page(chosen.output, sections)  # after each, so that a later failure loses nothing


if __name__ == "__main__":
    main()
