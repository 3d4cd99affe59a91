"""The command `medzoo`: `medzoo train experiment=...` does anywhere what `python train.py experiment=...` does here."""

import signal
import sys

from medzoo.runtime import cli
from medzoo.runtime.check import did_you_mean
from medzoo.runtime.environment import SCRIPTS
from medzoo.runtime.errors import UserError
from medzoo.runtime.listing import lines

__all__ = ["main"]

VERBS = {
    "train": "train a system, test it and report",
    "evaluate": "test a checkpoint again, on its own data or on others",
    "predict": "predict images with a checkpoint",
    "prepare": "get a data set, check a folder, or bring raw files into a layout",
    "export": "write a checkpoint as a graph for ONNX Runtime",
    "list": "experiments, models, data or metrics, a line each",
}


def main() -> None:
    """Run the verb that the first word names; the others are its settings."""
    name, *words = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print("medzoo <verb> [key=value ...]; `medzoo <verb> --help` lists the settings of a verb.\n")
        print("\n".join(f"  {verb:10} {what}" for verb, what in VERBS.items()))
    elif name not in VERBS:
        print(f"error: {name}: no such verb; {did_you_mean(name, VERBS)}", file=sys.stderr)
        sys.exit(2)
    elif name == "list":
        _list(words)
    else:
        sys.argv = [str(SCRIPTS / f"{name}.py"), *words]  # Lightning starts further processes with this
        cli.main(name)


def _list(words: list[str]) -> None:
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a word, as it ends `ls`
    try:
        print("\n".join(lines(" ".join(words))))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
