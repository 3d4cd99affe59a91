"""Mistakes of the user, reported in one line; faults of the program keep their traceback."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import InstantiationException
from omegaconf.errors import OmegaConfBaseException

from medzoo.runtime.composing.extras import install_hint

__all__ = ["UserError", "data_errors", "stage_errors", "user_errors"]


class UserError(Exception):
    """A mistake in the config, the files or the command, which the user can correct; exit code 2."""


_KINDS = (ValueError, TypeError, OSError, ImportError, InstantiationException, OmegaConfBaseException)


@contextmanager
def user_errors(where: str = "", kinds: tuple[type[BaseException], ...] = _KINDS) -> Iterator[None]:
    """Turn errors about values and files into `UserError`.

    Constructors and data checks raise `ValueError`, `TypeError` or `OSError`. Before training starts these mean that an
    input is wrong. The original stays attached, for MEDZOO_TRACEBACK=1.

    Args:
        where: The part of the config that was built or read; the message starts with it.
        kinds: The errors that count as mistakes.

    Raises:
        UserError: Instead of these errors.
    """
    try:
        yield
    except kinds as error:
        if isinstance(error, OmegaConfBaseException) and (inner := _inner(error)):
            raise inner from error
        key, cause = _cause(error)
        place = ".".join(part for part in (where, key) if part)
        raise UserError(f"{place}: {_one_line(cause)}" if place else _one_line(cause)) from error


@contextmanager
def stage_errors(name: str) -> Iterator[None]:
    """Start messages about mistakes in a stage with its name."""
    try:
        yield
    except UserError as error:
        if not name:
            raise
        raise UserError("\n".join(f"stage {name}: {line}" for line in str(error).splitlines())) from error


@contextmanager
def data_errors() -> Iterator[None]:
    """Turn errors about files that are read while a model runs into `UserError`, and that a worker was killed.

    Most data are read before, but a prediction reads case by case. An error that a datamodule or module raises itself
    is about the data; one raised by numpy, torch or other code below it is a fault of the program and keeps its
    traceback.

    Raises:
        UserError: Instead of an error about the data.
    """
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        frame, _ = [*traceback.walk_tb(error.__traceback__)][-1]
        (last,) = traceback.extract_tb(error.__traceback__, limit=-1)
        ours = {"datamodules", "lightning_modules"} & {*frame.f_globals.get("__name__", "").split(".")}
        if not (ours and (last.line or "").startswith("raise ")):
            raise
        raise UserError(_one_line(error)) from error
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        told = "a process that makes batches ahead was killed; if memory ran out, set workers lower"
        raise UserError(f"{told} ({_one_line(error)})") from error


def _inner(error: BaseException | None) -> UserError | None:
    """The `UserError` below: OmegaConf wraps what is raised while it resolves `${data:...}`."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def _cause(error: BaseException) -> tuple[str, BaseException]:
    """The key that Hydra or OmegaConf was reading, and the error behind theirs."""
    key = ""
    while isinstance(error, (InstantiationException, OmegaConfBaseException)):
        if isinstance(error, OmegaConfBaseException):
            key = key or str(error.full_key or "")
        elif "full_key: " in str(error):
            key = key or str(error).rsplit("full_key: ", 1)[1].strip()
        if error.__cause__ is None:
            break
        error = error.__cause__
    return key, error


def _one_line(error: BaseException) -> str:
    if isinstance(error, ImportError) and (hint := install_hint(error.name or "")):
        return f"{error}: {hint}"
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"no file or folder {error.filename}"
    if isinstance(error, InstantiationException) and "Error locating target" in str(error):
        return " ".join(str(error).split("full_key:")[0].split())
    if isinstance(error, OmegaConfBaseException):
        return str(error).split("\n")[0]
    return " ".join(str(error).split()) or type(error).__name__
