"""An experiment on other data: drop what it set for its own."""

import copy
import logging
import re
from functools import cache
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from medzoo.runtime.check import misfits
from medzoo.runtime.composing.plain import given_settings
from medzoo.runtime.contracts import DataModule

__all__ = ["expected_of", "without_leftovers"]

log = logging.getLogger(__name__)

_SWITCH = re.compile(r"\+*datamodule(@[^=]*)?=")


def without_leftovers(config: DictConfig) -> DictConfig:
    """Drop keys that an experiment sets for its own `datamodule` and the chosen one does not take.

    A demo sets the size of its phantom. With `datamodule=...` on the command line nothing would read that key.

    Args:
        config: As composed for one stage.

    Returns:
        The config, or a changed copy; the log names dropped keys.
    """
    if not _switched():
        return config
    try:
        data = OmegaConf.to_container(config.datamodule, resolve=True)
    except OmegaConfBaseException:
        return config  # reported when the whole config is resolved
    left_out = [path for path in misfits(data, "datamodule") if _is_leftover(config, path)]
    if not left_out:
        return config
    config = copy.deepcopy(config)
    OmegaConf.set_struct(config, False)
    for path in left_out:
        parent, _, key = path.rpartition(".")
        OmegaConf.select(config, parent).pop(key)
    _tell(f"{', '.join(left_out)}: left out, the experiment sets it for its own data")
    return config


def expected_of(expected: dict[str, Any] | None, datamodule: DataModule) -> dict[str, Any]:
    """The expected ranges of an experiment, which hold for its own phantom only.

    Args:
        expected: From the config.
        datamodule: Of the run.
    """
    if not expected or (datamodule.phantom and not _switched()):
        return expected or {}
    _tell("expected: left out, the experiment measured these ranges on its own data")
    return {}


def _switched() -> bool:
    """Whether the command line chooses a datamodule."""
    return any(_SWITCH.match(word) for word in given_settings())


def _is_leftover(config: DictConfig, path: str) -> bool:
    """Whether a key is set, but not on the command line."""
    parent, _, key = path.rpartition(".")
    node = OmegaConf.select(config, parent) if "[" not in path else None
    if not isinstance(node, DictConfig) or key not in node or OmegaConf.is_missing(node, key):
        return False
    words = [re.sub(r"^(stages\.[^.]+\.)", "", word.lstrip("+~").partition("=")[0]) for word in given_settings()]
    return not any(
        word == path or f"{word}.".startswith(f"{path}.") or path.startswith(f"{word}.")
        for word in words
        if word != "datamodule"
    )


@cache
def _tell(message: str) -> None:
    """Log once, not for every stage."""
    log.info("%s", message)
