"""From a config to objects: one way to instantiate, one way in which sizes travel from data to network.

A network learns the sizes of its data by interpolation: `num_classes: ${data:num_classes}` is the property
`num_classes` of the datamodule that the same config describes. Building a datamodule is cheap and reads no images, so
this also works in `--cfg job --resolve`. `${net:drop_last,true}` is what the class of the network says of itself, or
the default. Saved configs hold the plain numbers.
"""

import contextlib
import json
import logging
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import hydra.utils
import lightning as L
from hydra.core.hydra_config import HydraConfig
from lightning.fabric.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig, OmegaConf

from runtime.check import check_config, did_you_mean
from runtime.composition import install
from runtime.errors import UserError, user_errors
from runtime.own_data import expected_of, without_leftovers
from runtime.ranks import StandIns

__all__ = ["instantiate", "instantiate_all", "make_trainer", "register_resolvers", "resolve"]


def register_resolvers() -> None:
    """Make `${data:...}`, `${net:...}` and `${run:}`, the run folder, known to OmegaConf, and our rules to Hydra."""
    install()
    OmegaConf.register_new_resolver("data", _data_property, replace=True)
    OmegaConf.register_new_resolver("net", _net_attribute, replace=True)
    OmegaConf.register_new_resolver("run", _run_folder, replace=True)


def _data_property(name: str, *, _root_: DictConfig) -> Any:
    datamodule = _built(json.dumps(OmegaConf.to_container(_root_.datamodule, resolve=True), sort_keys=True))
    with user_errors("datamodule"):
        if not hasattr(datamodule, name):
            raise ValueError(f"{type(datamodule).__name__} has no property '{name}'")
        return getattr(datamodule, name)


def _net_attribute(name: str, default: Any, *, _root_: DictConfig) -> Any:
    """Of the class of `lightning_module.net`, or of the first class in it that has it: a network may hold others."""
    net = _root_.lightning_module.net
    left: list[Any] = [OmegaConf.to_container(net)] if OmegaConf.is_dict(net) else []
    while left:
        node = left.pop(0)
        left += [child for child in node.values() if isinstance(child, dict)]
        with contextlib.suppress(Exception):  # a target that cannot be imported is told of when all targets are checked
            return getattr(hydra.utils.get_object(node["_target_"]), name)
    return default


def _run_folder() -> str:
    """As Hydra has it; a word in its place where a config is only shown."""
    runtime = HydraConfig.get().runtime
    return "<run>" if OmegaConf.is_missing(runtime, "output_dir") else runtime.output_dir


@lru_cache(maxsize=4)
def _built(config: str) -> L.LightningDataModule:
    return hydra.utils.instantiate(json.loads(config))


def resolve(config: DictConfig) -> dict[str, Any]:
    """Plain containers with every interpolation resolved and every target checked.

    Args:
        config: As composed by Hydra, for one stage; `stages` may be referred to and is left out of the result.

    Returns:
        The tree of plain dicts, lists and scalars that is saved with the run and in every checkpoint.

    Raises:
        UserError: If a value is missing, an interpolation fails, or a target does not fit.
    """
    built = None
    if "datamodule" in config:  # first, because the sizes of all else follow from it
        config = without_leftovers(config)
        with user_errors():
            data = OmegaConf.to_container(config.datamodule, resolve=True, throw_on_missing=True)
        check_config(data, "datamodule")
        if isinstance(data, dict) and "_target_" in data:
            with user_errors("datamodule"):
                built = _built(json.dumps(data, sort_keys=True))
    with user_errors():
        plain = {str(key): _plain(config[key]) for key in config if key != "stages"}
    check_config(plain)
    _check_entries(plain)
    if built is not None and "expected" in plain:
        plain["expected"] = expected_of(plain["expected"], built)
    return plain


def _check_entries(config: dict[str, Any]) -> None:
    """Refuse a callback or logger that is none: `+callbacks.bst.verbose=true` would come to nothing."""
    for part in ("callbacks", "logger"):
        entries = config.get(part) or {}
        for name, entry in entries.items() if "_target_" not in entries else ():
            if entry and (not isinstance(entry, dict) or "_target_" not in entry):
                hint = did_you_mean(name, entries.keys() - {name})
                raise UserError(f"{part}.{name}: says no _target_, so nothing would come of it; {hint}")


def _plain(node: Any) -> Any:
    if not OmegaConf.is_config(node):
        return node
    return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)


def instantiate(config: Any, where: str, **extra: Any) -> Any:
    """Build the object that `config` describes.

    Every object of a run is built here, so that an allow-list of targets (Hydra 1.4 will ask for one) has one place.

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


def instantiate_all(config: dict[str, Any] | None, where: str, **extra: Any) -> list[Any]:
    """Build every entry of a dict of configs, in order; entries that are null are switched off."""
    return [instantiate(entry, f"{where}.{name}", **extra) for name, entry in (config or {}).items() if entry]


def make_trainer(config: dict[str, Any], run: Path, **extra: Any) -> L.Trainer:
    """The trainer of a run, whose files go to the folder `run`.

    Args:
        config: The `trainer` node.
        run: The run folder.
        **extra: Callbacks and loggers.

    Returns:
        The trainer.

    Raises:
        UserError: If the machine lacks what is asked for, such as a second GPU.
    """
    _quieten()
    extra["callbacks"] = [StandIns(), *extra.get("callbacks", [])]
    try:
        return instantiate(config, "trainer", default_root_dir=str(run), **extra)
    except MisconfigurationException as error:  # raised by Lightning outside the usual types
        raise UserError(f"trainer: {error}") from error


def _quieten() -> None:
    """Silence advertisements, and warnings about what is meant to be so."""
    for name in ("lightning.pytorch", "lightning.pytorch.utilities.rank_zero"):
        logger = logging.getLogger(name)
        if not logger.filters:
            logger.addFilter(lambda record: not any(part in record.getMessage() for part in ("Tip:", "TPU")))
    for message in (
        ".*smaller than the logging interval.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*exists and is not empty.*",  # the run folder holds more than the logs
        ".*in eval mode at the start of training.*",  # parts trained in an earlier stage
        ".*`self.log.*sync_dist=True.*",  # logged are numbers that all processes have computed together
    ):
        warnings.filterwarnings("ignore", message=message)
