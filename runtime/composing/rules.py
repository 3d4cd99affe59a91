"""Two rules that every verb adds to Hydra's composition.

1. A recipe (`experiment=...`) sets keys of the objects that it chose. If the command line chooses another object, those
   keys are dropped: a part of `lightning_module`, such as a network, is composed as its own file says; another
   `datamodule` keeps the keys that its class takes, such as the batch size.
2. An argument of a class can be set although its file does not list it: `callbacks.best.verbose=true`.
"""

import copy
from collections.abc import Iterator, Sequence

import hydra._internal.hydra as hydra_main
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigResult
from hydra.types import RunMode
from omegaconf import Container, DictConfig, OmegaConf, ValueNode, open_dict

from medzoo.runtime.check import takes

__all__ = ["install"]

_PARTS = ("lightning_module", "datamodule")
_ABSENT = object()


def install() -> None:
    """Make Hydra compose by these rules."""
    hydra_main.ConfigLoaderImpl = _Loader  # type: ignore[misc]


class _Loader(ConfigLoaderImpl):
    """Hydra's loader, which knows the command line while it merges files."""

    _config_name: str | None = None
    _given: Sequence[Override] = ()
    _changed: Sequence[str] = ()  # nodes where the command line chose another object than the recipe
    _forgotten: frozenset[str] = frozenset()  # keys that recipes set for objects that were replaced

    def _load_configuration_impl(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        self._config_name, self._changed, self._forgotten = config_name, (), frozenset()
        self._given, _ = self._parse_overrides_and_create_caching_repo(config_name, overrides)
        return super()._load_configuration_impl(config_name, overrides, run_mode, from_shell, validate_sweep_overrides)

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        self._changed = self._changed_nodes(defaults, repo)
        config = super()._compose_config_from_defaults_list(defaults, repo)
        if self._changed:
            recipes = [self._load_single_config(default, repo).config for default in defaults if _is_recipe(default)]
            self._forgotten = frozenset(key for node in self._changed for key in _obsolete(config, recipes, node))
            config = super()._compose_config_from_defaults_list(defaults, repo)
        self._make_room(config, repo)
        return config

    def _load_single_config(self, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        loaded = copy.copy(super()._load_single_config(default, repo))
        if self._changed:  # files are merged more than once, and merging changes them
            loaded.config = copy.deepcopy(loaded.config)
        for key in self._forgotten if _is_recipe(default) else ():
            _remove(loaded.config, key)
        return loaded

    def _changed_nodes(self, defaults: list[ResultDefault], repo: IConfigRepository) -> list[str]:
        """Nodes where the command line chose another file than the recipe."""
        groups = [o for o in self._given if repo.group_exists(o.key_or_group) and not o.is_sweep_override()]
        chosen = [o for o in groups if o.key_or_group.split("/")[0] in _PARTS]
        if not chosen:
            return []
        kept = [override for override in self._given if override not in chosen]
        before = create_defaults_list(repo, self._config_name, kept, prepend_hydra=True, skip_missing=True).defaults
        files = [{_node(d): d.config_path for d in each if not _is_recipe(d)} for each in (before, defaults)]
        nodes = {override.package or override.key_or_group.replace("/", ".") for override in chosen}
        return [node for node in sorted(nodes) if files[0].get(node) != files[1].get(node)]

    def _make_room(self, config: DictConfig, repo: IConfigRepository) -> None:
        """Let the command line set arguments of a class, and set or delete keys that were dropped."""
        for override in self._given:
            key = override.key_or_group
            if override.is_add() or override.is_force_add() or repo.group_exists(key) or key.startswith("hydra."):
                continue
            if _found(config, key) is not _ABSENT:
                continue
            if key in self._forgotten or (not override.is_delete() and _taken(config, key)):
                with open_dict(config):
                    OmegaConf.update(config, key, "" if override.is_delete() else None, force_add=True)


def _is_recipe(default: ResultDefault) -> bool:
    """Whether a file sets keys of several objects: an experiment or a recipe, but not the root config."""
    path = default.config_path or ""
    whole = default.package in ("", "_global_") and "/" in path and not path.startswith("hydra/")
    return whole or path.startswith("recipe/")


def _node(default: ResultDefault) -> str:
    return default.package or ""


def _obsolete(config: DictConfig, recipes: Sequence[Container], node: str) -> Iterator[str]:
    """Keys that recipes set at `node` for an object that was replaced.

    Interpolations such as `features: ${stages.first...}` are kept if the new object takes them.
    """
    target = _found(config, f"{node}._target_")
    for recipe in recipes:
        given = _found(recipe, node)
        for key in map(str, given) if isinstance(given, DictConfig) else ():
            fits = takes(target, key) if isinstance(target, str) else None
            keeps = fits is True and OmegaConf.is_interpolation(given, key)
            if (fits is False) if node == "datamodule" else not keeps:
                yield f"{node}.{key}"


def _taken(config: DictConfig, key: str) -> bool:
    """Whether `key` is an argument of an object whose file does not list it."""
    parts = key.split(".")
    for end in range(len(parts) - 1, 0, -1):
        node = _found(config, ".".join(parts[:end]))
        if isinstance(node, DictConfig):
            target = _found(node, "_target_")
            return isinstance(target, str) and takes(target, parts[end]) is True
        if node is not _ABSENT:  # a value or null: it has no arguments
            return False
    return False


def _found(config: object, key: str) -> object:
    """The node or value at a key; interpolations are not resolved."""
    for part in key.split("."):
        if (
            not isinstance(config, DictConfig)
            or config._is_none()
            or config._is_missing()
            or config._is_interpolation()
        ):
            return _ABSENT
        if part not in config.keys():  # noqa: SIM118 (`in` alone says no to missing values)
            return _ABSENT
        child = config._get_node(part)
        config = child._value() if isinstance(child, ValueNode) else child
    return config


def _remove(config: object, key: str) -> None:
    parent, _, last = key.rpartition(".")
    node = _found(config, parent)
    if isinstance(node, DictConfig) and last in node.keys():  # noqa: SIM118
        with open_dict(node):
            del node[last]  # `pop` would resolve it
