"""Mistakes of the user, told in one line, apart from faults of the program, told with their traceback."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import InstantiationException
from omegaconf.errors import OmegaConfBaseException

from medzoo.runtime.composing.extras import install_hint

__all__ = ["UserError", "data_errors", "stage_errors", "user_errors"]


class UserError(Exception):
    """Something in the config, the files or the command that its author can mend; ends a verb with exit code 2."""


_KINDS = (ValueError, TypeError, OSError, ImportError, InstantiationException, OmegaConfBaseException)


@contextmanager
def user_errors(where: str = "", kinds: tuple[type[BaseException], ...] = _KINDS) -> Iterator[None]:
    """Turn complaints about values and files into `UserError`.

    Constructors and data checks complain with `ValueError`, `TypeError` or `OSError`; before training starts these mean
    that something given was wrong. The original stays attached, for MEDZOO_TRACEBACK=1.

    Args:
        where: The part of the config that was at work, put before the message.
        kinds: The errors that are mistakes.

    Raises:
        UserError: In place of the errors named.
    """
    try:
        yield
    except kinds as error:
        if isinstance(error, OmegaConfBaseException) and (told := _told(error)):
            raise told from error
        key, cause = _cause(error)
        place = ".".join(part for part in (where, key) if part)
        raise UserError(f"{place}: {_one_line(cause)}" if place else _one_line(cause)) from error


@contextmanager
def stage_errors(name: str) -> Iterator[None]:
    """Put the name of a stage before the mistakes that are found in it."""
    try:
        yield
    except UserError as error:
        if not name:
            raise
        raise UserError("\n".join(f"stage {name}: {line}" for line in str(error).splitlines())) from error


@contextmanager
def data_errors() -> Iterator[None]:
    """Turn complaints about files that are read while a model is at work into `UserError`.

    Most data are read before, but a prediction reads case by case. What datamodules and modules say by a `raise` of
    their own is a complaint; what numpy or torch say below it, or any other code, is a fault of the program and keeps
    its traceback.

    Raises:
        UserError: In place of a complaint.
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


def _told(error: BaseException | None) -> UserError | None:
    """What was told already below: OmegaConf wraps what is raised while it resolves `${data:...}`."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return error


def _cause(error: BaseException) -> tuple[str, BaseException]:
    """The key that Hydra or OmegaConf was at, and the error behind theirs."""
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
