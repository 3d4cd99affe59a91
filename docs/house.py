"""Writes statistics of the code, without tests and documentation, into docs/explanation.md: `python -m docs.house`."""

import ast
import re
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from medzoo.files import write_between
from medzoo.runtime.composing.resolvers import register_resolvers

__all__ = ["figures", "repeated"]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation.md"
ROOMS = ("models", "lightning_modules", "datamodules", "evaluation", "callbacks", "runtime", "benchmarks")
RUN = 5  # a run of this many equal lines of YAML in two places counts as repeated
BEGIN, END = "<!-- figures: python -m docs.house -->", "<!-- end -->"


def figures() -> dict[str, str]:
    """Values by name, as text."""
    register_resolvers()
    files = [*ROOT.glob("*.py"), *(file for room in ROOMS for file in sorted((ROOT / room).rglob("*.py")))]
    trees = {file: ast.parse(file.read_text()) for file in files}
    functions = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    lines = {file: len(file.read_text().splitlines()) for file in files}
    yaml = [*(ROOT / "conf").rglob("*.yaml")]
    many, of = repeated(yaml)
    folders = {folder: len([*folder.glob("*.py")]) for folder in {file.parent for file in files}}
    flat = max(folders, key=lambda folder: folders[folder])
    return {
        "files, lines": f"{len(files)}, {sum(lines.values()):,}",
        "lines of a file: median, 90%, most": _spread(lines.values()),
        "lines of a function: median, 90%, most": _spread(node.end_lineno - node.lineno + 1 for node in functions),  # type: ignore[operator]
        "`Any` in signatures": str(sum(map(_any, functions))),
        "`type: ignore`": str(sum(file.read_text().count("# type: ignore") for file in files)),
        f"lines of YAML, share in runs of {RUN} or more that stand twice": f"{of:,}, {many / of:.1%}",
        "lines of YAML of `hematoma`: experiment and recipes; parts too; with what every run reads": _read("hematoma"),
        "most files in a folder": f"{folders[flat]} ({flat.relative_to(ROOT)})",
        "imports between rooms": ", ".join(_arrows(trees)),
        "lines of `datamodules` without phantoms and radiomics; of these, of `io` and `check`": _data_lines(lines),
        "share of lines by room": ", ".join(_shares(lines)),
        "seconds to `--help`": f"{_seconds('--help'):.1f}",
        "seconds to the answer to a mistyped experiment": f"{_seconds('experiment=hemxp'):.1f}",
    }


def repeated(files: Sequence[Path]) -> tuple[int, int]:
    """Number of YAML lines in a run that also occurs elsewhere, and of all lines; without comments and indentation."""
    texts = {file: [*_bare(file)] for file in files}
    places = defaultdict(list)
    for file, lines in texts.items():
        for start in range(len(lines) - RUN + 1):
            places[tuple(lines[start : start + RUN])].append((file, start))
    twice = [place for found in places.values() if len(found) > 1 for place in found]
    return len({(file, start + i) for file, start in twice for i in range(RUN)}), sum(map(len, texts.values()))


def _read(experiment: str) -> str:
    """Lines of the experiment and the recipes that it names; with its other parts; with what every run composes."""
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        every, all_of_it = (
            {each.config_path for each in loader.compute_defaults_list("train", words, RunMode.RUN).defaults}
            for words in ([], [f"experiment={experiment}"])
        )
    own = [name for name in all_of_it if str(name).startswith(("experiment/", "recipe/"))]
    counts = [_lines(own), _lines(all_of_it - every), _lines(all_of_it)]
    return "; ".join(map(str, counts))


def _lines(names: Iterable[str | None]) -> int:
    """Lines of files in conf, without comments; Hydra's own are not there."""
    files = (ROOT / "conf" / f"{name}.yaml" for name in names)
    return sum(len([*_bare(file)]) for file in files if file.is_file())


def _bare(file: Path) -> Iterator[str]:
    for line in file.read_text().splitlines():
        if bare := re.sub(r"(^|\s+)#.*$", "", line).strip():
            yield bare


def _spread(values: Iterable[int]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered):.0f}, {ordered[int(0.9 * len(ordered))]}, {ordered[-1]}"


def _any(function: ast.FunctionDef) -> int:
    given = [argument.annotation for argument in ast.walk(function.args) if isinstance(argument, ast.arg)]
    return sum(ast.unparse(note) == "Any" for note in (*given, function.returns) if note is not None)


def _arrows(trees: dict[Path, ast.Module]) -> Iterator[str]:
    found = set()
    for file, tree in trees.items():
        room = file.relative_to(ROOT).parts[0].removesuffix(".py")
        for node in ast.walk(tree):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {(room, name.removeprefix("medzoo.").split(".")[0]) for name in names}
    for room in ROOMS[:-1]:
        if to := sorted(other for other in ROOMS if other != room and (room, other) in found):
            yield f"{room} → {' and '.join(to)}"


def _shares(lines: dict[Path, int]) -> Iterator[str]:
    total = sum(lines.values())
    for room in ROOMS:
        share = sum(count for file, count in lines.items() if file.is_relative_to(ROOT / room)) / total
        yield f"{room} {share:.0%}"


def _data_lines(lines: dict[Path, int]) -> str:
    rooms: Counter[str] = Counter()
    for file, count in lines.items():
        if file.is_relative_to(home := ROOT / "datamodules"):
            rooms[file.relative_to(home).parts[0]] += count
    total = rooms.total() - rooms["phantoms"] - rooms["radiomics"]
    return f"{total:,}; {rooms['io']:,} and {rooms['check']:,}"


def _seconds(word: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "train.py", word], cwd=ROOT, capture_output=True, check=False)
    return time.perf_counter() - began


def main() -> None:
    """Write the table between its markers."""
    table = "\n".join(
        ["| what | figure |", "|---|---|", *(f"| {name} | {value} |" for name, value in figures().items())]
    )
    write_between(PAGE, BEGIN, END, table)
    print(table)


if __name__ == "__main__":
    main()
