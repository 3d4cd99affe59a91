"""Runs of several stages: one config for each, made from that of the run.

    outputs/<experiment>/<time>/    config.yaml  metrics.json  split.json  environment.txt  report.html
        <stage>/                    a run folder of its own, without a report

A run of one stage is a run whose only stage has no name, so its folder is the run folder itself.
"""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medzoo.runtime.build import resolve
from medzoo.runtime.check import did_you_mean
from medzoo.runtime.composing.plain import given_settings, plain
from medzoo.runtime.errors import UserError, stage_errors

__all__ = ["resolve_stages"]

_OF_THE_RUN = {
    "stages",
    "comparisons",
    "auto_resume",
    "sweep_gpus",
    "sweep_metrics",
    "sweep_grid",
}  # keys of the run, which stages may not change
_TAKEN = {
    "checkpoints",
    "figures",
    "predictions",
    "wandb",
    "test",
    "val",
    "train",
    "fit",
    "model",
}  # names of files and metrics


def resolve_stages(config: DictConfig) -> dict[str, dict[str, Any]]:
    """The plain config of every stage, in order.

    A stage's config is the root config with the stage's keys merged over it, after those of the stage that it is
    `like`, before anything is interpolated: `${trainer.max_steps}` or `${data:num_classes}` in a stage mean its own.
    `${stages.<name>...}` of an earlier stage is what that stage resolved it to.

    Args:
        config: As composed by Hydra.

    Returns:
        Names and configs, each as `resolve` returns it; a run of one stage has the name "".

    Raises:
        UserError: If a key is unknown, a stage lacks its module, or a config does not resolve.
    """
    root, stages = _split(config)
    if not stages:
        return {"": resolve(config)}
    _check_keys(root, stages)
    resolved: dict[str, dict[str, Any]] = {}
    for name, stage in stages.items():
        with stage_errors(name):
            resolved[name] = resolve(_composed(root, stage, {**stages, **resolved}))
    return resolved


def _split(config: DictConfig) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The root config and those of its stages, without null ones, before interpolation."""
    root = plain(config)
    root.pop("comparisons", None)
    given = root.pop("stages", None) or {}
    stages: dict[str, dict[str, Any]] = {}
    for name, stage in given.items():
        if stage is None:
            continue
        if not isinstance(stage, dict):
            raise UserError(f"stages.{name}={stage}: expected keys of the config, or null to leave the stage out")
        like = stage.pop("like", None)
        if like and given.get(like, "") is None:
            raise UserError(
                f"stages.{name} is like {like}, which is left out: leave this one out too, or give it its own config"
            )
        if like and like not in stages:
            raise UserError(f"stages.{name}.like={like}: no such stage before it; {did_you_mean(like, stages)}")
        stages[name] = _over(_to_be_like(stages[like]), stage) if like else stage
    return root, stages


def _to_be_like(stage: dict[str, Any]) -> dict[str, Any]:
    """The keys that `like` copies: all but those that name weights to start from."""
    return {key: value for key, value in stage.items() if key not in ("ckpt_path", "init_from")}


def _composed(root: dict[str, Any], stage: dict[str, Any], stages: dict[str, Any]) -> DictConfig:
    """A stage's config with the stages that its interpolations name: all of them take seconds to build."""
    config = _over(root, stage)
    return OmegaConf.create({**config, "stages": _named_by(config, stages)})


def _named_by(config: dict[str, Any], stages: dict[str, Any]) -> dict[str, Any]:
    """The stages that `${stages.<name>...}` in a config may mean, and those that they mean in turn."""
    found: dict[str, Any] = {}
    text = str(config)
    while "stages.${" not in text:
        named = {name: stages[name] for name in stages if name not in found and f"stages.{name}" in text}
        if not named:
            return found
        found |= named
        text = str(named)
    return stages


def _over(base: object, change: object) -> Any:
    """`change` merged over `base`; an object of another class replaces that of `base`."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    if "_target_" in change and change["_target_"] != base.get("_target_"):
        return change
    return {**base, **{key: _over(base.get(key), value) for key, value in change.items()}}


def _check_keys(root: dict[str, Any], stages: dict[str, dict[str, Any]]) -> None:
    """Refuse keys that no stage reads, and those that are ambiguous with several stages."""
    known = ({*root} | {"lightning_module"}) - _OF_THE_RUN
    complete = {name for name, stage in stages.items() if {"lightning_module", "datamodule"} & {*stage}}
    for name, stage in stages.items():
        if name in _TAKEN:
            raise UserError(f"stages.{name}: files and metrics of a run have this name; choose another")
        if name not in complete:
            raise UserError(
                f"stages.{name}: no such stage (no lightning_module, no datamodule); {did_you_mean(name, complete)}"
            )
        for key in stage:
            if key not in known:
                raise UserError(f"stages.{name}.{key}: no such key; {did_you_mean(key, known)}")
    for key in ("ckpt_path", "init_from"):
        if root[key]:
            raise UserError(f"{key}: this run has several stages; say which with stages.<{'|'.join(stages)}>.{key}=...")
    if [*stages.values()][-1].get("ckpt_path"):
        raise UserError(
            f"stages.{[*stages][-1]}.ckpt_path: the last stage must be trained; to test its checkpoint use evaluate.py"
        )
    _check_effect(root, stages)


def _check_effect(root: dict[str, Any], stages: dict[str, dict[str, Any]]) -> None:
    """Refuse settings of the whole run that every stage overrides: they would have no effect."""
    for override in given_settings():
        key, _, package = override.lstrip("+~").partition("=")[0].partition("@")
        node = package or key.replace("/", ".")
        if node.split(".")[0] not in {*root, "lightning_module"} - _OF_THE_RUN:
            continue
        missing = override.startswith("~")
        if not any(_reaches(root, stage, node, missing=missing) for stage in stages.values()):
            which = f"{key}@stages.<{'|'.join(stages)}>.{node}" if "/" in key else f"stages.<{'|'.join(stages)}>.{node}"
            value = "" if missing else f"={override.partition('=')[2]}"
            raise UserError(f"{key}: every stage has its own; say which with {'~' if missing else ''}{which}{value}")


def _reaches(root: dict[str, Any], stage: dict[str, Any], key: str, *, missing: bool) -> bool:
    """Whether a stage keeps anything of the root's value at `key`; if `missing`, whether it lacks it too."""
    if missing:
        return _at(_over(root, stage), key) is None
    return _holds_mark(_over(_marked(root, key.split(".")), stage))


_MARK = object()


def _marked(node: object, path: Sequence[str]) -> Any:
    """A copy with a mark in place of all values at or below a path."""
    if path:
        return {**node, path[0]: _marked(node.get(path[0]), path[1:])} if isinstance(node, dict) else _MARK
    if not isinstance(node, dict) or not node:
        return _MARK
    return {key: value if key == "_target_" else _marked(value, ()) for key, value in node.items()}


def _holds_mark(node: object) -> bool:
    return node is _MARK or (isinstance(node, dict) and any(_holds_mark(value) for value in node.values()))


def _at(node: object, key: str) -> object:
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node
