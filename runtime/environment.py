"""Where the zoo lies, and what it says without its packages. Imports nothing but Python itself."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["CONF", "IN_CHECKOUT", "SCRIPTS", "told_of_missing_packages"]

_HOME = Path(__file__).resolve().parent.parent  # the checkout, or the folder `medzoo` of a wheel
CONF = _HOME / "conf"
IN_CHECKOUT = (_HOME / "train.py").is_file()
SCRIPTS = _HOME if IN_CHECKOUT else _HOME / "scripts"
"""The folder of `train.py`, `predict.py`, ..., which further processes of a run are started with."""


@contextmanager
def told_of_missing_packages() -> Iterator[None]:
    """End a verb with exit code 2 where a package cannot be imported; elsewhere the error goes its way."""
    try:
        yield
    except ModuleNotFoundError as error:
        verb = getattr(sys.modules.get("__main__"), "__file__", None)
        package = (error.name or "").split(".")[0]
        if verb is None or Path(verb).resolve().parent != SCRIPTS or (_HOME / package).exists():
            raise
        made = (_HOME / ".venv" / "bin" / "python").exists()
        remedy = "source .venv/bin/activate" if made and Path(sys.prefix) != _HOME / ".venv" else "make setup"
        print(f"error: {sys.executable} has no package '{package}': run `{remedy}` first", file=sys.stderr)
        sys.exit(2)
