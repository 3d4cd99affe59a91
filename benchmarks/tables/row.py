"""One line of a benchmark's table: the same work done by this zoo and by a peer."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

__all__ = ["HEADER", "Row", "not_installed", "print_rows"]

HEADER = ("case", "unit", "zoo", "peer", "zoo / peer", "goal", "met", "remark")


@dataclass(frozen=True)
class Row:
    """A measurement of both sides in one run on one machine.

    Args:
        case: What was measured; the benchmark's docstring names the peer.
        unit: Unit of both numbers, such as `batches/s` or `s/epoch`.
        zoo: This zoo's number.
        peer: The peer's number, above 0; None if it is not installed.
        goal: Target for the ratio zoo / peer; none if the row has no target.
        higher_is_better: Whether the ratio should be at least the goal; otherwise at most.
        remark: Other observations, such as equal results on both sides.
    """

    case: str
    unit: str
    zoo: float
    peer: float | None
    goal: float | None = None
    higher_is_better: bool = True
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """The zoo's number over the peer's."""
        return None if self.peer is None else self.zoo / self.peer

    @property
    def met(self) -> bool | None:
        """Whether the goal was met, none without a goal or a peer."""
        if self.goal is None or self.ratio is None:
            return None
        return self.ratio >= self.goal if self.higher_is_better else self.ratio <= self.goal

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `HEADER`."""
        goal = "" if self.goal is None else f"{'≥' if self.higher_is_better else '≤'} {self.goal:g}"
        met = {None: "", True: "yes", False: "no"}[self.met]
        numbers = (f"{self.zoo:.4g}", _text(self.peer, ".4g"), _text(self.ratio, ".3g"))
        return (self.case, self.unit, *numbers, goal, met, self.remark)


def not_installed(package: str, how: str) -> str:
    """What the remark of a row says whose peer is missing; empty if the package is there.

    Args:
        package: As it is imported.
        how: What `pip install` needs to get it.
    """
    return "" if importlib.util.find_spec(package) else f"peer not installed: pip install {how}"


def _text(number: float | None, form: str) -> str:
    return "" if number is None else format(number, form)


def print_rows(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a table in the terminal."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in HEADER[:-1]:
        right = name in ("zoo", "peer", "zoo / peer", "goal")
        table.add_column(name, justify="right" if right else "left", no_wrap=name != "case")
    for row in rows:
        table.add_row(*row.cells[:-1])
    console = Console()
    console.print(table)
    for row in rows:  # below the table, since 80 columns leave a remark no column of its own
        console.print(f"  {row.case}: {row.remark}", highlight=False, soft_wrap=True)
