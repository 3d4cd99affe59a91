"""Makes the tables of the cards: trains what is missing over five seeds, and writes means and SDs into the card.

    python -m benchmarks.tables                          lists the tables
    python -m benchmarks.tables <name>                   trains what is missing, then writes the table
    python -m benchmarks.tables <name> --only-write      writes it from the runs that there are
    python -m benchmarks.tables expected <experiment>    rebuilds the `expected` ranges of a demo

A table is described in docs/tables/<name>.yaml, and stands in its card between `<!-- table: <name> -->` and
`<!-- /table -->`. Runs are kept in outputs/tables; the same settings and seed are not trained again. Delete their
folders after a change of the code.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import ROOT
from benchmarks.tables.card import write_card
from benchmarks.tables.description import ENOUGH, known, read_table
from benchmarks.tables.expected import rebuild
from medzoo.runtime.composing.resolvers import register_resolvers

__all__ = ["main"]

RUNS = ROOT / "outputs" / "tables"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a table, or the ranges of a demo.

    Args:
        arguments: Of the command line; None for those of the process.

    Returns:
        The exit code: 0 done, 1 a run failed or is missing, 2 something given was wrong.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tables", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="*", help="a table, or `expected` and an experiment; none: list the tables")
    parser.add_argument("--only-write", action="store_true", help="train nothing")
    parser.add_argument("--seeds", type=_seeds, help="such as 1,2,3; default: those of the table, or 1 to 5")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time, which share the cores")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs (default: outputs/tables)")
    given = parser.parse_args(arguments)
    register_resolvers()
    how = {"runs": given.runs, "at_once": given.jobs, "only_write": given.only_write}
    try:
        match given.name:
            case []:
                print("\n".join(f"{name}: {read_table(name).card}" for name in known()))
                return 0
            case ["expected", experiment]:
                return rebuild(experiment, given.seeds or tuple(range(1, ENOUGH + 1)), **how)
            case [name]:
                table = read_table(name)
                return write_card(name, table.model_copy(update={"seeds": given.seeds or table.seeds}), **how)
            case _:
                raise ValueError(f"{' '.join(given.name)}: expected one table, or `expected` and an experiment")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
