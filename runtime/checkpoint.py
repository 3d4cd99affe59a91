"""Checkpoints that explain themselves: what goes in, and how a module comes out again anywhere.

A checkpoint is what Lightning writes, plus the resolved plain config under the key `medzoo`. It holds tensors, numbers,
strings and containers only, so it loads with `torch.load(weights_only=True)`: opening one never runs code in it.
"""

import pickle
from pathlib import Path
from typing import Any

import lightning as L
import torch

from runtime.build import instantiate
from runtime.errors import UserError

__all__ = ["EmbedConfig", "initialise", "load", "read"]


class EmbedConfig(L.Callback):
    """Puts the resolved config and the datamodule's state into every checkpoint.

    Args:
        config: Plain containers.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add both."""
        datamodule = trainer.datamodule  # type: ignore[attr-defined]
        checkpoint["medzoo"] = {"config": self.config, "datamodule": datamodule.state_dict()}


def read(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of this zoo.

    Args:
        path: The file.

    Returns:
        Its content, tensors on the CPU.

    Raises:
        UserError: If there is no such file, it is damaged, holds more than plain data, or is not of this zoo.
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
    return content


def load(path: str | Path) -> L.LightningModule:
    """Rebuild a trained module from its checkpoint alone.

    Args:
        path: A checkpoint written by `train.py`; its averaged weights are taken where training averaged them.

    Returns:
        The module on the CPU, in evaluation mode; its attribute `config` is the config that it was trained with.

    Raises:
        UserError: As `read`, and if the weights do not fit the module.
    """
    content = read(path)
    config = content["medzoo"]["config"]
    module = instantiate(config["lightning_module"], "lightning_module")
    initialise(module, content, Path(path))
    module.config = config
    return module.eval()


def initialise(module: L.LightningModule, content: dict[str, Any], path: Path) -> None:
    """Give a module the weights of a checkpoint.

    Args:
        module: Changed in place.
        content: From `read`.
        path: Named in messages.

    Raises:
        UserError: If a weight is missing, left over, or of another shape; the first one is named.
    """
    weights, own = content["state_dict"], module.state_dict()
    for name in [*own, *weights]:
        if name not in weights or name not in own or weights[name].shape != own[name].shape:
            shapes = [tuple(where[name].shape) if name in where else "absent" for where in (weights, own)]
            raise UserError(
                f"{path} is of another model: {name} is {shapes[0]} in the checkpoint and {shapes[1]} in this config; "
                "use the lightning_module that it was trained with"
            )
    module.load_state_dict(weights)
