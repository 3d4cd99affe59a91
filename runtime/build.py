"""Resolve configs and build objects from them."""

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra.utils
import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from medzoo.runtime.check import check_config, did_you_mean
from medzoo.runtime.composing.own_data import expected_of, without_leftovers
from medzoo.runtime.composing.resolvers import built
from medzoo.runtime.errors import UserError, user_errors
from medzoo.runtime.training.ranks import StandIns, workers

__all__ = ["instantiate", "instantiate_all", "make_datamodule", "make_trainer", "resolve"]


def resolve(config: DictConfig) -> dict[str, Any]:
    """Resolve every interpolation and check every target.

    Args:
        config: As composed by Hydra, for one stage; `stages` may be referred to and is left out of the result.

    Returns:
        The tree of plain dicts, lists and scalars that is saved with the run and in every checkpoint.

    Raises:
        UserError: If a value is missing, an interpolation fails, or a target does not fit.
    """
    datamodule = None
    if "datamodule" in config:  # first, because the sizes of networks depend on it
        config = without_leftovers(config)
        with user_errors():
            data = OmegaConf.to_container(config.datamodule, resolve=True, throw_on_missing=True)
        check_config(data, "datamodule")
        if isinstance(data, dict) and "_target_" in data:
            with user_errors("datamodule"):
                datamodule = built(json.dumps(data, sort_keys=True))
    with user_errors():
        plain: dict[str, Any] = {str(key): _plain(config[key]) for key in config if key != "stages"}
    check_config(plain)
    _check_entries(plain)
    if datamodule is not None and "expected" in plain:
        plain["expected"] = expected_of(plain["expected"], datamodule)
    return plain


def _check_entries(config: dict[str, Any]) -> None:
    """Refuse callbacks and loggers without a `_target_`: `+callbacks.bst.verbose=true` would have no effect."""
    for part in ("callbacks", "logger"):
        entries = config.get(part) or {}
        for name, entry in entries.items() if "_target_" not in entries else ():
            if entry and (not isinstance(entry, dict) or "_target_" not in entry):
                hint = did_you_mean(name, entries.keys() - {name})
                raise UserError(f"{part}.{name}: has no _target_, so it would have no effect; {hint}")


def _plain(node: object) -> object:
    if not OmegaConf.is_config(node):
        return node
    return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)


def instantiate(config: Mapping[str, Any], where: str, **extra: object) -> Any:
    """Build the object that `config` describes.

    Every object of a run is built here, so that an allow-list of targets (Hydra 1.4 will require one) has one place.

    Args:
        config: A plain dict with `_target_`.
        where: Its key, for messages.
        **extra: Arguments that only the run knows, such as its folder.

    Returns:
        The object; lists in it are plain lists.

    Raises:
        UserError: If the constructor refuses its arguments.
    """
    with user_errors(where):
        return hydra.utils.instantiate(config, **extra, _convert_="all")


def make_datamodule(config: Mapping[str, Any]) -> Any:
    """Build the datamodule of a config, with the settings of the run that every datamodule takes.

    Raises:
        UserError: As of `instantiate`.
    """
    datamodule = instantiate(config["datamodule"], "datamodule")
    datamodule.store_dir = config.get("store_dir")
    datamodule.workers = workers(config)
    return datamodule


def instantiate_all(config: Mapping[str, Any] | None, where: str, **extra: object) -> list[Any]:
    """Build every entry of a dict of configs, in order; null entries are skipped."""
    return [instantiate(entry, f"{where}.{name}", **extra) for name, entry in (config or {}).items() if entry]


def make_trainer(config: dict[str, Any], run: Path, **extra: Any) -> L.Trainer:
    """Build the trainer of a run.

    Args:
        config: The `trainer` node.
        run: The run folder.
        **extra: Callbacks and loggers.

    Returns:
        The trainer.

    Raises:
        UserError: If the machine lacks a device that the config asks for, such as a second GPU.
    """
    _quieten()
    extra["callbacks"] = [StandIns(), *extra.get("callbacks", [])]
    try:
        return instantiate(config, "trainer", default_root_dir=str(run), **extra)
    except MisconfigurationException as error:  # Lightning's own type
        raise UserError(f"trainer: {error}") from error


def _quieten() -> None:
    """Silence advertisements, and warnings about intended behaviour."""
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logger = logging.getLogger(name)
        if not logger.filters:
            logger.addFilter(lambda record: not any(part in record.getMessage() for part in ("Tip:", "TPU")))
    for message in (
        ".*smaller than the logging interval.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*exists and is not empty.*",  # the run folder holds more than the logs
        ".*in eval mode at the start of training.*",  # parts trained in an earlier stage
        ".*`self.log.*sync_dist=True.*",  # what is logged is already reduced over processes
    ):
        warnings.filterwarnings("ignore", message=message)
