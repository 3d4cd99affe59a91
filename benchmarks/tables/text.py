"""Markdown of a table with its command, and its place in a card."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

__all__ = ["facts_of", "markdown", "markers", "numbers", "yaml_of"]


def yaml_of(file: Path) -> Any:
    """A YAML file as plain data."""
    return OmegaConf.to_container(OmegaConf.load(file))


def markers(name: str) -> tuple[str, str]:
    """What stands before and after a table in its card."""
    return f"<!-- table: {name} -->", "<!-- /table -->"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as a table, the first of them its headings."""
    head, *rest = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rest])


def numbers(values: Sequence[int]) -> str:
    """`1 to 5` or `1, 3, 7`."""
    if len(values) > 2 and [*values] == [*range(values[0], values[-1] + 1)]:
        return f"{values[0]} to {values[-1]}"
    return ", ".join(map(str, values))


def facts_of(folders: Sequence[Path]) -> str:
    """Commit, machine and version of PyTorch of some runs, each named once."""
    texts = [(folder / "environment.txt").read_text(encoding="utf-8") for folder in folders]
    found = [re.search(rf"^ *{what}(.*)", text, re.M) for what in ("system: ", "torch==", "commit: ") for text in texts]
    said = [match[0].strip() for match in found if match is not None]
    short = [re.sub(r"(commit): (\w{7})\w*", r"\1 \2", one) for one in said]
    return ", ".join(dict.fromkeys(one.replace("system: ", "").replace("torch==", "torch ") for one in short))
