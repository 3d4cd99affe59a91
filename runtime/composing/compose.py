"""The config that a command line describes, composed without running a verb."""

from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medzoo.runtime.environment import CONF

__all__ = ["compose", "config_dir_of", "split_flags"]


def split_flags(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags such as `--config-dir <folder>` with their values, and settings such as `seed=1`, in order.

    Hydra's own parser wants them in this order, and further processes of a run add settings at the end.
    """
    settings = get_args_parser().parse_intermixed_args(list(arguments)).overrides
    return [word for word in arguments if word not in settings], settings


def config_dir_of(arguments: Sequence[str]) -> str | None:
    """The folder of the user's own configs, as `--config-dir` names it."""
    return get_args_parser().parse_intermixed_args(list(arguments)).config_dir


def compose(config_name: str, settings: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Compose as `hydra.main` does; `HydraConfig` then holds Hydra's own part.

    Args:
        config_name: The root config in `conf/`.
        settings: Words of the command line without flags.
        config_dir: A folder whose configs are found beside those of `conf/`.
    """
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        if config_dir is not None:
            GlobalHydra.instance().clear()
            Hydra.create_main_hydra2(config_name, _search_path(config_dir))
        config = hydra.compose(config_name, list(settings), return_hydra_config=True)
    GlobalHydra.instance().clear()
    HydraConfig.instance().set_config(config)
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _search_path(config_dir: str) -> ConfigSearchPath:
    path = create_config_search_path(str(CONF))
    beside = SearchPathQuery(provider="schema")  # where hydra.main puts it
    path.prepend(provider="command-line", path=f"file://{Path(config_dir).absolute()}", anchor=beside)
    return path
