"""The resolvers of configs: `${data:num_classes}`, `${net:drop_last,true}` and `${run:}`.

A network learns the sizes of its data by interpolation: `num_classes: ${data:num_classes}` is the property
`num_classes` of the datamodule that the same config describes. Building a datamodule is cheap and reads no images, so
this also works in `--cfg job --resolve`. `${net:drop_last,true}` is an attribute of the class of the network, or
the default. Saved configs hold plain values.
"""

import contextlib
import json
from functools import lru_cache
from typing import Any

import hydra.utils
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medzoo.runtime.composing.rules import install
from medzoo.runtime.errors import user_errors

__all__ = ["built", "register_resolvers"]


def register_resolvers() -> None:
    """Register `${data:...}`, `${net:...}` and `${run:}` (the run folder), and install the rules of `rules.py`."""
    install()
    OmegaConf.register_new_resolver("data", _data_property, replace=True)
    OmegaConf.register_new_resolver("net", _net_attribute, replace=True)
    OmegaConf.register_new_resolver("run", _run_folder, replace=True)


def _data_property(name: str, *, _root_: DictConfig) -> object:
    datamodule = built(json.dumps(OmegaConf.to_container(_root_.datamodule, resolve=True), sort_keys=True))
    with user_errors("datamodule"):
        if not hasattr(datamodule, name):
            raise ValueError(f"{type(datamodule).__name__} has no property '{name}'")
        return getattr(datamodule, name)


def _net_attribute(name: str, default: object, *, _root_: DictConfig) -> object:
    """An attribute of the class of `lightning_module.net`, or of the first class inside it that has it."""
    net = _root_.lightning_module.net
    left: list[Any] = [OmegaConf.to_container(net)] if OmegaConf.is_dict(net) else []
    while left:
        node = left.pop(0)
        left += [child for child in node.values() if isinstance(child, dict)]
        with contextlib.suppress(Exception):  # `check_config` reports targets that cannot be imported
            return getattr(hydra.utils.get_object(node["_target_"]), name)
    return default


def _run_folder() -> str:
    """The run folder; `<run>` when a config is only shown."""
    runtime = HydraConfig.get().runtime
    return "<run>" if OmegaConf.is_missing(runtime, "output_dir") else runtime.output_dir


@lru_cache(maxsize=4)
def built(config: str) -> Any:
    """The datamodule of a plain config, as JSON with sorted keys."""
    return hydra.utils.instantiate(json.loads(config))
