"""Explain an error of Hydra in one line: the key, and what to write instead."""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

from medzoo.runtime.check import arguments_of, did_you_mean, takes
from medzoo.runtime.composing.compose import compose, config_dir_of, split_flags
from medzoo.runtime.composing.extras import install_hint
from medzoo.runtime.environment import CONF
from medzoo.runtime.errors import UserError, user_errors

__all__ = ["explain"]


def explain(error: Exception, config_name: str, arguments: Sequence[str]) -> str:
    """Explain an error in one line.

    Args:
        error: Raised by Hydra or OmegaConf.
        config_name: Root config of the verb.
        arguments: The command line after the verb.
    """
    text = str(error)
    missing = re.search(r"Could not (?:find|load) '(.+)/(.+?)'", text)
    if missing:
        return _no_option(missing.group(1), missing.group(2), _listed(text))
    unset = re.search(r"You must specify '(.+?)'", text)
    if unset:
        return f"choose {unset.group(1)}=...; {did_you_mean('', _listed(text))}"
    unknown = re.search(r"full_key: (\S+)", f"{text}\n{error.__cause__}")
    if "not in struct" in f"{text} {error.__cause__}" and unknown:
        asked = re.search(r"Could not override '(\S+)'\.", text)
        return _no_key(unknown.group(1), asked.group(1) if asked else unknown.group(1), config_name, arguments)
    several = re.search(r"Could not override '(\S+)'\.\s+Did you mean to override one of (.+?)\?", text, re.DOTALL)
    if several and "@stages." in several.group(2):
        return f"{several.group(1)}: this run has several stages; say which with {several.group(2)}=..."
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    ambiguous = re.search(r"Ambiguous value for argument '([^=]+)=(.+?)'\s", text)
    if ambiguous:
        key, value = ambiguous.groups()
        return (
            f"{key}={value}: a list is written '{key}=[{value}]', a text '{key}=\"{value}\"', and -m runs each in turn"
        )
    try:
        with user_errors():
            raise error
    except UserError as explained:
        return str(explained)
    except HydraException:
        return " ".join(text.split())


def _no_option(group: str, option: str, options: Sequence[str]) -> str:
    """An unknown choice, or one from a package that is not installed."""
    if hint := install_hint(option) if group.startswith("hydra/") else "":
        return f"{group}={option}: {hint} (docs/how-to/sweeps.md)"
    return f"{group}={option}: no such option; {did_you_mean(option, options)}"


def _no_key(key: str, asked: str, config_name: str, arguments: Sequence[str]) -> str:
    """An unknown key: `asked` on the command line, missing from `key` on."""
    config = _without_mistake(config_name, arguments)
    if key.split(".")[0] == "lightning_module" and config.get("stages"):
        return f"{asked}: this run has several stages; say which with stages.<{'|'.join(config.stages)}>.{asked}=..."
    own = config_dir_of(arguments)
    roots = [CONF, *([Path(own)] if own else [])]
    files = [file for root in roots for file in (root / key.replace(".", "/")).glob("*.yaml")]
    if "." in key and files:
        options = "|".join(sorted({file.stem for file in files}))
        return f"{asked}: no {key} is chosen; choose one with {key.replace('.', '/')}={options}"
    parent = OmegaConf.select(config, key.rpartition(".")[0]) if "." in key else config
    siblings = {str(name) for name in parent} if isinstance(parent, DictConfig) else set()
    target = parent.get("_target_") if isinstance(parent, DictConfig) else None
    if "." not in key and config_name == "train":
        siblings |= {folder.name for root in roots for folder in root.iterdir() if folder.is_dir()}
    hint = did_you_mean(key.split(".")[-1], (siblings | arguments_of(target)) - {"hydra", "_target_", "_partial_"})
    handed_on = target and takes(target, key.split(".")[-1]) is None
    return f"{asked}: no such key; {hint}" + (f" (+{asked}=... passes it to {target} unchecked)" if handed_on else "")


def _unreadable(error: OverrideParseException) -> str:
    """A setting that Hydra cannot parse; most often a path with brackets, blanks or special characters."""
    key, equals, value = error.override.partition("=")
    if not equals:
        return f"cannot read '{error.override}': settings are written key=value"
    if re.match(r"^[\[{\"']", value):
        return f"cannot read '{error.override}': {' '.join(str(error).split()).split(' See http')[0]}"
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    return f"cannot read '{error.override}': quote the value, and all of it for the shell: '{key}=\"{quoted}\"'"


def _listed(text: str) -> list[str]:
    """The options that Hydra lists in a message."""
    listed = text.partition("Available options")[2].partition("Config search")[0]
    return [line.strip() for line in listed.splitlines()[1:] if line.strip()]


def _without_mistake(config_name: str, arguments: Sequence[str]) -> DictConfig:
    """The config of the choices on the command line, without other settings."""
    roots = "experiment|preset|datamodule|lightning_module|callbacks|logger|trainer|hydra.searchpath"
    groups = rf"[+~]*([\w/]+/\w+|{roots})="
    kept = [setting for setting in split_flags(arguments)[1] if re.match(groups, setting)]
    return compose(config_name, kept, config_dir_of(arguments))
