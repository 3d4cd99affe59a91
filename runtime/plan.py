"""What a run is, resolved once from the composed config: its stages, its comparisons, and its metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from medzoo.runtime.check import check_config, did_you_mean
from medzoo.runtime.composing.plain import plain
from medzoo.runtime.composing.stages import resolve_stages
from medzoo.runtime.errors import UserError

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True)
class Plan:
    """A run as `train.py` carries it out.

    Attributes:
        stages: The plain config of every stage by name, in order; a run of one stage has the name "".
        comparisons: Plain configs, by name, of what compares the stages at the end.
        expected: For some metrics of the last stage, the range [low, high] that the experiment's author found.
        optimized_metric: The metric of the last stage that a sweep compares.
    """

    stages: Mapping[str, dict[str, Any]]
    comparisons: Mapping[str, dict[str, Any]]
    expected: Mapping[str, list[float]]
    optimized_metric: str

    def config(self) -> dict[str, Any]:
        """One config for the run folder: what all stages share, and under `stages` what each has for itself."""
        shared = _shared([*self.stages.values()])
        if "" in self.stages:
            return shared
        own = {name: _difference(stage, shared) for name, stage in self.stages.items()}
        return {**shared, "stages": own, "comparisons": dict(self.comparisons)}


def make_plan(config: DictConfig) -> Plan:
    """Resolve a run.

    Args:
        config: As composed by Hydra from `conf/train.yaml`.

    Returns:
        The plan; every target in it is known to exist and to take its arguments.

    Raises:
        UserError: If a stage, a comparison or a value in them is wrong.
    """
    stages = resolve_stages(config)
    last = [*stages.values()][-1]
    return Plan(stages, _comparisons(config), last.get("expected") or {}, last["optimized_metric"])


def _comparisons(config: DictConfig) -> dict[str, dict[str, Any]]:
    given = plain(config.comparisons, resolve=True) if config.comparisons else {}
    check_config(given, "comparisons")
    known = config.get("stages") or {}
    for name, entry in given.items():
        for stage in (entry or {}).get("stages", {}).values():
            if stage not in known:
                raise UserError(f"comparisons.{name}: no stage {stage}; {did_you_mean(stage, known)}")
    return {name: entry for name, entry in given.items() if entry}


def _shared(configs: list[dict[str, Any]]) -> dict[str, Any]:
    """Keys with the same value in all configs; objects of different classes share nothing."""
    shared: dict[str, Any] = {}
    for key, value in configs[0].items():
        values = [config.get(key) for config in configs]
        if all(key in config for config in configs) and all(other == value for other in values):
            shared[key] = value
            continue
        parts = [other for other in values if isinstance(other, dict) and other.get("_target_") == _target(value)]
        if len(parts) == len(configs):
            shared[key] = _shared(parts)
    return shared


def _target(node: object) -> str | None:
    return node.get("_target_") if isinstance(node, dict) else None


def _difference(config: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """What must be merged over `shared` to give `config`."""
    own = {key: value for key, value in config.items() if key not in shared or shared[key] != value}
    return {key: _difference(value, shared[key]) if key in shared else value for key, value in own.items()}
