"""Checkpoints that describe themselves: what they hold, and how a module is rebuilt from one.

A checkpoint is what Lightning writes, plus the resolved plain config under the key `medzoo`. It holds tensors, numbers,
strings and containers only, so it loads with `torch.load(weights_only=True)`, which runs no code.
"""

import os
import pickle
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.utils import get_object
from omegaconf import OmegaConf

from medzoo.files import replacing
from medzoo.runtime.build import instantiate
from medzoo.runtime.check import check_config
from medzoo.runtime.checkpoints.matching import known_of
from medzoo.runtime.composing.plain import plain
from medzoo.runtime.composing.renamed import with_new_names, with_new_weights
from medzoo.runtime.contracts import Finalizes, Fitted
from medzoo.runtime.errors import UserError

__all__ = [
    "EmbedConfig",
    "initialise",
    "load",
    "read",
    "rebuild",
    "refresh",
    "trusted_config",
    "with_overrides",
    "without_pretrained",
]

# Where the objects of a checkpoint's config may be defined; MEDZOO_TRUST=package,... adds your own.
TRUSTED = (
    *(f"medzoo.{room}" for room in ("models", "lightning_modules", "datamodules", "callbacks", "evaluation")),
    "medzoo.runtime.loggers",
    *("torch.nn", "torch.optim", "monai.networks", "monai.losses", "torchmetrics"),
    *("lightning.Trainer", "lightning.pytorch.trainer", "lightning.pytorch.callbacks"),
)


class EmbedConfig(L.Callback):
    """Puts the resolved config and the datamodule's state into every checkpoint.

    Args:
        config: Plain containers.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add both."""
        checkpoint["medzoo"] = {"config": self.config, **known_of(vars(trainer)["datamodule"])}


def read(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of this zoo.

    Args:
        path: The file.

    Returns:
        Its content with current names, tensors on the CPU.

    Raises:
        UserError: If the file is missing, is damaged, holds more than plain data, or is not of this zoo.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no checkpoint {path}: set ckpt_path to one, such as outputs/<experiment>/<time>/checkpoints/best.ckpt"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise UserError(f"{path} cannot be read: it is damaged, or holds objects other than plain data") from error
    if not isinstance(content, dict) or "medzoo" not in content:
        raise UserError(f"{path} is not a checkpoint of this zoo: it carries no config to rebuild the model from")
    known = content["medzoo"] | {"config": with_new_names(content["medzoo"].get("config"))}
    return content | {"medzoo": known, "state_dict": with_new_weights(content.get("state_dict", {}))}


def trusted_config(content: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """The config in a checkpoint, after checking that everything it would build is harmless.

    Args:
        content: From `read`.
        path: Named in messages.

    Returns:
        The config; pretrained weights are switched off, since the checkpoint brings trained ones.

    Raises:
        UserError: If it names objects outside this zoo and its libraries (`TRUSTED`).
    """
    config = content["medzoo"]["config"]
    _check_targets(config, Path(path))
    return without_pretrained(config)


def with_overrides(trained: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The config of a checkpoint with the changes of the command to its data and module.

    A new part (`datamodule=npz`) replaces that of the checkpoint; single keys change it.

    Args:
        trained: The config in the checkpoint.
        given: The plain config of the verb.

    Returns:
        A checked plain config.

    Raises:
        UserError: If a change does not fit.
    """
    merged = OmegaConf.create(trained)
    for part in ("datamodule", "lightning_module"):
        change = given.get(part) or {}
        merged[part] = change if "_target_" in change else OmegaConf.merge(merged[part], change)
    config = plain(merged)
    check_config({part: config[part] for part in ("datamodule", "lightning_module")})
    return config


def without_pretrained(node: object) -> Any:
    """A copy of a config that downloads no pretrained weights, for a network that gets those of a checkpoint.

    `pretrained: <stage>` of a module stays: it downloads nothing.
    """
    if isinstance(node, list):
        return [without_pretrained(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    return {
        key: False if key == "pretrained" and value is True else without_pretrained(value)
        for key, value in node.items()
    }


def _check_targets(node: object, path: Path) -> None:
    """Refuse targets that could do more than build parts of a run."""
    if isinstance(node, list):
        for entry in node:
            _check_targets(entry, path)
    if not isinstance(node, dict):
        return
    if "_target_" in node:
        trusted = (*TRUSTED, *filter(None, os.environ.get("MEDZOO_TRUST", "").split(",")))
        home = getattr(get_object(node["_target_"]), "__module__", "") if _within(node["_target_"], trusted) else ""
        if not _within(home, trusted):  # where the object is defined: a name can lead into another package
            raise UserError(
                f"{path} names {node['_target_']}, which is not of this zoo; if you trust the file, "
                f"set MEDZOO_TRUST={node['_target_'].split('.')[0]}"
            )
    for entry in node.values():
        _check_targets(entry, path)


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def load(path: str | Path) -> L.LightningModule:
    """Rebuild a trained module from its checkpoint alone.

    Args:
        path: A checkpoint written by `train.py`; with its averaged weights, if training averaged them.

    Returns:
        The module on the CPU, in evaluation mode; its attribute `config` is the config that it was trained with.

    Raises:
        UserError: As `read` and `trusted_config`, and if the weights do not fit the module.
    """
    content = read(path)
    return _built(trusted_config(content, path), content, path)


def rebuild(config: dict[str, Any], content: dict[str, Any], path: str | Path) -> L.LightningModule:
    """Build a module and load the weights of a checkpoint, which include those of earlier stages.

    Args:
        config: Plain; the checkpoint's own, or one with changes.
        content: From `read`.
        path: Named in messages.

    Returns:
        The module on the CPU, in evaluation mode; its attribute `config` is `config`.

    Raises:
        UserError: If the weights do not fit the module, or what is fitted after training is missing.
    """
    module = _built(config, content, path)
    fitted = [name for name, part in module.named_modules() if isinstance(part, Fitted)]
    parts = [name for name in fitted if not any(name.startswith(f"{other}.") for other in fitted)]
    if parts and not content["medzoo"].get("finalized"):
        raise UserError(
            f"{path} was written during training, before {', '.join(parts)} could be fitted: finish the run with "
            "auto_resume=true, or use the checkpoint that a finished run tested"
        )
    return module


def _built(config: dict[str, Any], content: dict[str, Any], path: str | Path) -> L.LightningModule:
    module: L.LightningModule = instantiate(config["lightning_module"], "lightning_module")
    initialise(module, content, Path(path))
    module.config = config  # type: ignore[assignment]
    return module.eval()


def refresh(path: Path, module: L.LightningModule) -> None:
    """Write what `finalize` fitted, such as a calibration, into the checkpoint that will be tested.

    Args:
        path: The checkpoint; unchanged if the module has no `finalize`.
        module: The module, with the checkpoint's weights.
    """
    if not isinstance(module, Finalizes):
        return
    content = read(path)
    content["state_dict"] = {name: tensor.cpu() for name, tensor in module.state_dict().items()}
    content["medzoo"]["finalized"] = True
    with replacing(path) as partial:
        torch.save(content, partial)


def initialise(module: L.LightningModule, content: dict[str, Any], path: Path) -> None:
    """Load the weights of a checkpoint into a module.

    Args:
        module: Changed in place.
        content: From `read`.
        path: Named in messages.

    Raises:
        UserError: If a weight is missing, unexpected or of another shape; the message names the first. A buffer that is
            empty until it is fitted takes any shape, and is empty with weights from before the fit, or from before
            there was such a buffer. A fitted part of which the checkpoint has nothing stays unfitted.
    """
    weights, own = dict(content["state_dict"]), module.state_dict()
    for name, part in module.named_modules():
        if isinstance(part, Fitted):
            inside = {each for each in own if each.startswith(f"{name}.")}
            lacking = inside - weights.keys()
            weights |= {each: own[each] for each in lacking if lacking == inside or not own[each].numel()}
    for name in [*own, *weights]:
        absent = name not in weights or name not in own
        if absent or (own[name].shape != weights[name].shape and own[name].numel() and weights[name].numel()):
            shapes = [tuple(where[name].shape) if name in where else "absent" for where in (weights, own)]
            raise UserError(
                f"{path} is of another model: {name} is {shapes[0]} in the checkpoint and {shapes[1]} in this config; "
                "use the lightning_module that it was trained with"
            )
    module.load_state_dict(weights)
