"""The strategy that trains a module on several devices."""

import logging
from typing import Any

import lightning as L
import torch

from medzoo.runtime.contracts import SaysItsStrategy
from medzoo.runtime.errors import UserError
from medzoo.runtime.training.ranks import processes

__all__ = ["fitting_strategy", "warn_of_emulation"]

log = logging.getLogger(__name__)

FINDS_UNUSED = "ddp_find_unused_parameters_true"
SHARDED = {"_target_": "medzoo.runtime.training.sharding.FullyShardedStrategy"}
_UNREADABLE = ("deepspeed", "fsdp", "modelparallel")  # in the names of Lightning's strategies, of which we have our own


def fitting_strategy(config: dict[str, Any], module: L.LightningModule) -> str | dict[str, Any]:
    """Choose the strategy that trains a module on the devices of a run.

    Args:
        config: The `trainer` node.
        module: May have `ddp_strategy`.

    Returns:
        The strategy of the config, where `fsdp` is ours; on several devices, that of the module instead of `auto`.

    Raises:
        UserError: If the strategy in the config cannot train the module, or writes checkpoints that nothing reads.
    """
    given, count = config.get("strategy", "auto"), processes(config)
    name = _name(given)
    if name != "fsdp" and any(part in name.lower() for part in _UNREADABLE):
        raise UserError(
            f"trainer.strategy={name}: predict.py and evaluate.py cannot read its checkpoints back; "
            "trainer.strategy=fsdp shards weights, gradients and the optimiser too, and writes ordinary checkpoints"
        )
    if count == 1:
        return "auto" if given == "fsdp" else given
    needed = module.ddp_strategy if isinstance(module, SaysItsStrategy) else "ddp"
    if needed == FINDS_UNUSED and not _finds_unused(given):
        if given == "auto":
            return needed
        raise UserError(
            f"trainer.strategy={name} cannot train {type(module).__name__}: not every backward pass reaches all of "
            f"its parameters; leave trainer.strategy=auto, which is {needed} here"
        )
    if given != "fsdp":
        return given
    _check_sharding(config, module)
    return SHARDED


def warn_of_emulation(config: dict[str, Any], device: torch.device) -> None:
    """Say so where a CPU has to emulate bfloat16.

    Args:
        config: The `trainer` node.
        device: On which the run trains.
    """
    precision = str(config.get("precision", "32-true"))
    if device.type == "cpu" and precision.startswith("bf16") and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        log.warning(
            "trainer.precision=%s: this CPU has no instructions for bfloat16 and is several times slower with it; "
            "trainer.precision=32-true is faster",
            precision,
        )


def _check_sharding(config: dict[str, Any], module: L.LightningModule) -> None:
    if str(config.get("precision", "32-true")) in ("16-mixed", "16"):
        raise UserError("trainer.precision=16-mixed does not work with trainer.strategy=fsdp: use bf16-mixed")
    for name, weight in module.named_parameters():
        if weight.requires_grad and not weight.ndim:
            raise UserError(
                f"trainer.strategy=fsdp cannot train {type(module).__name__}: its {name} is a single number, which "
                "has no shards; leave trainer.strategy=auto"
            )


def _finds_unused(strategy: object) -> bool:
    if isinstance(strategy, dict):
        return bool(strategy.get("find_unused_parameters"))
    return str(strategy).endswith("find_unused_parameters_true")


def _name(strategy: object) -> str:
    return strategy.get("_target_", "") if isinstance(strategy, dict) else str(strategy)
