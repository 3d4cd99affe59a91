"""A verb that is started without the project's packages says so in one line. Imports nothing but Python itself."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["told_of_missing_packages"]

_ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def told_of_missing_packages() -> Iterator[None]:
    """End a verb with exit code 2 where a package cannot be imported; elsewhere the error goes its way."""
    try:
        yield
    except ModuleNotFoundError as error:
        verb = getattr(sys.modules.get("__main__"), "__file__", None)
        package = (error.name or "").split(".")[0]
        if verb is None or Path(verb).resolve().parent != _ROOT or (_ROOT / package).exists():
            raise
        made = (_ROOT / ".venv" / "bin" / "python").exists()
        remedy = "source .venv/bin/activate" if made and Path(sys.prefix) != _ROOT / ".venv" else "make setup"
        print(f"error: {sys.executable} has no package '{package}': run `{remedy}` first", file=sys.stderr)
        sys.exit(2)
