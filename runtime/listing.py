"""What `medzoo list` prints: one line for each thing that the zoo has, from the headers of its configs."""

import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

from omegaconf import OmegaConf

from medzoo.runtime.environment import CONF
from medzoo.runtime.errors import UserError

__all__ = ["KINDS", "lines"]

KINDS = {
    "experiments": ("experiment",),
    "models": ("lightning_module", "lightning_module/net"),
    "data": ("datamodule", "preparation"),
    "metrics": (),
}
"""What can be listed, and the folders of `conf/` that hold it."""


def lines(kind: str) -> Iterator[str]:
    """One line for each entry: what to write on the command line, what it is, and what it needs.

    Args:
        kind: One of `KINDS`.

    Raises:
        UserError: If there is no such kind.
    """
    if kind not in KINDS:
        raise UserError(f"list what? write medzoo list {'|'.join(KINDS)}")
    if kind == "metrics":
        meanings = OmegaConf.load(CONF.parent / "evaluation" / "metrics.yaml")
        entries = [(str(name), str(meaning)) for name, meaning in meanings.items()]
    else:
        files = [file for group in KINDS[kind] for file in sorted((CONF / group).glob("*.yaml"))]
        entries = [(f"{file.parent.relative_to(CONF).as_posix()}={file.stem}", _header(file)) for file in files]
    width = max(len(name) for name, _ in entries)
    room = max(shutil.get_terminal_size((200, 24)).columns - width - 2, 40)
    for name, what in entries:
        yield f"{name:{width}}  {textwrap.shorten(what, room, placeholder=' …')}"


def _header(file: Path) -> str:
    """The first sentence of the comment that a config begins with, and what its line `Needs:` says."""
    comment = re.match(r"(?:#.*\n)+", file.read_text(encoding="utf-8"))
    text = re.sub(r"\n?# ?(@package.*)?", " ", comment[0] if comment else "").strip()
    needs = re.search(r"Needs: (.+?)\.(?= |$)", text)
    first = re.split(r"(?<=[^.][\w)\]\"])\. (?=[A-Z])|\.$| Run me with:| Needs:", text)[0]
    return f"[{needs[1]}] {first}" if needs else first
