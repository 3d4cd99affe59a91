"""Check a resolved config against the signatures of its targets, before anything slow starts.

Hydra refuses unknown keys of the files it composed. It does not see keywords that a constructor lacks or requires, and
values that do not match its annotations.
"""

import contextlib
import difflib
import inspect
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pydantic
from hydra.utils import get_object

from medzoo.runtime.composing.extras import install_hint
from medzoo.runtime.composing.renamed import GONE, new_name, new_target
from medzoo.runtime.errors import UserError

__all__ = ["arguments_of", "check_config", "did_you_mean", "misfits", "takes"]

_HYDRA_KEYS = {"_target_", "_partial_", "_args_", "_recursive_", "_convert_"}


def check_config(config: object, path: str = "") -> None:
    """Check every `_target_` under `config`.

    Args:
        config: Plain containers, interpolations resolved.
        path: The key of `config`, for messages.

    Raises:
        UserError: With one line for each problem: the key, what was expected, what to write instead.
    """
    problems = list(_problems(config, path))
    if problems:
        raise UserError("\n".join(problems))


def misfits(config: object, path: str = "") -> list[str]:
    """The keys that `check_config` would complain about."""
    return [problem.partition(": ")[0] for problem in _problems(config, path)]


def did_you_mean(word: str, known: typing.Iterable[str]) -> str:
    """A hint: what `word` is called now or what replaced it; else the nearest known word, or all if none is near."""
    options = sorted(known)
    if word in GONE:
        return GONE[word]
    if new := new_name(word, options):
        return f"it is called {new} now"
    close = difflib.get_close_matches(word, options, n=1)
    return f"did you mean '{close[0]}'?" if close else f"expected one of: {', '.join(options)}"


def takes(target: str, argument: str) -> bool | None:
    """Whether a `_target_` takes an argument; None if it passes any on, or cannot be imported."""
    try:
        known, _, open_ended = _parameters(get_object(target))
    except Exception:
        return None
    return argument in known or (None if open_ended else False)


def arguments_of(target: str | None) -> set[str]:
    """Names of the arguments of a `_target_`; empty if it cannot be imported."""
    try:
        return {*_parameters(get_object(target))[0]} if target else set()
    except Exception:
        return set()


def _problems(node: object, path: str) -> Iterator[str]:
    if isinstance(node, list):
        for index, entry in enumerate(node):
            yield from _problems(entry, f"{path}[{index}]")
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        yield from _target_problems(node, path)
    for key, value in node.items():
        yield from _problems(value, f"{path}.{key}" if path else str(key))


def _target_problems(node: dict[str, Any], path: str) -> Iterator[str]:
    try:
        if (new := new_target(node["_target_"])) != node["_target_"] and _is_there(new):
            yield f"{path}._target_: {node['_target_']} is called {new} now"
            return
        target = get_object(node["_target_"])
    except Exception as error:
        yield f"{path}._target_: cannot import {node['_target_']} ({error}){_hint(error)}"
        return
    known, required, open_ended = _parameters(target)
    given = [key for key in node if key not in _HYDRA_KEYS]
    for key in given:
        if key not in known and not open_ended:
            yield f"{path}.{key}: {node['_target_']} takes no '{key}'; {did_you_mean(key, known)}"
    if not node.get("_partial_") and not node.get("_args_"):
        for key in sorted(required - set(given)):
            yield f"{path}.{key}: {node['_target_']} needs it; set {path}.{key}=..."
    hints = _annotations(target)
    for key in given:
        if key in hints and not _has_target(node[key]):
            complaint = _complaint(node[key], hints[key], known.get(key))
            if complaint:
                yield f"{path}.{key}: {node[key]!r} does not fit; {complaint}"


def _is_there(target: str) -> bool:
    try:
        return bool(get_object(target))
    except Exception:
        return False


def _hint(error: BaseException | None) -> str:
    """How to install the extra that a failed import needs."""
    while error is not None:
        if isinstance(error, ImportError) and (hint := install_hint(error.name or "")):
            return f"; {hint}"
        error = error.__cause__
    return ""


def _parameters(target: Callable[..., Any]) -> tuple[dict[str, Any], set[str], bool]:
    """Keywords with their defaults, the required ones, and whether any other keyword is accepted.

    A class whose `__init__` passes **keywords to its parents takes theirs too, and one that also passes *arguments
    needs what they need.
    """
    callables = _constructors(target)
    known: dict[str, Any] = {}
    required: set[str] = set()
    passes_all = True
    for function in callables:
        parameters = inspect.signature(function).parameters.values()
        for parameter in parameters:
            if parameter.name == "self" or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            known.setdefault(parameter.name, parameter.default)
            if parameter.default is parameter.empty and passes_all:
                required.add(parameter.name)
        passes_all = passes_all and any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return known, required, False
    return known, required, True


def _annotations(target: Callable[..., Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    for function in reversed(_constructors(target)):
        with contextlib.suppress(Exception):  # annotations that cannot be evaluated cannot be checked
            hints |= typing.get_type_hints(inspect.unwrap(function))
    return hints


def _constructors(target: Callable[..., Any]) -> list[Callable[..., Any]]:
    """A class's `__init__` and those of its parents, or the function itself."""
    if not inspect.isclass(target):
        return [target]
    return [vars(cls)["__init__"] for cls in target.__mro__[:-1] if "__init__" in vars(cls)]


def _has_target(value: object) -> bool:
    if isinstance(value, dict):
        return "_target_" in value or any(_has_target(entry) for entry in value.values())
    return isinstance(value, list) and any(_has_target(entry) for entry in value)


def _complaint(value: object, annotation: Any, default: object) -> str:
    """Why a YAML value does not match an annotation; empty if it does, or if that cannot be decided."""
    if value is None and default is None:
        return ""
    try:
        adapter = pydantic.TypeAdapter(annotation, config=pydantic.ConfigDict(arbitrary_types_allowed=True))
        fitting = adapter.validate_json(json.dumps(value), strict=True)
        if isinstance(value, dict) and not isinstance(fitting, Mapping):  # a dataclass, which YAML gives by _target_
            return f"expected {getattr(annotation, '__name__', annotation)}, given by its _target_"
    except pydantic.ValidationError as error:
        objects = ("is_instance_of", "callable_type", "needs_python_object")  # what YAML can only give by _target_
        reasons = dict.fromkeys(detail["msg"] for detail in error.errors() if detail["type"] not in objects)
        if not reasons:
            return f"expected {getattr(annotation, '__name__', annotation)}, given by its _target_"
        return " or ".join(reasons).lower().replace("input should", "it should")
    except Exception:
        return ""
    return ""
