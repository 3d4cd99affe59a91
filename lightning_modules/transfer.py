"""Transfer weights between networks that differ only in their task heads."""

from collections.abc import Mapping
from typing import Any

from torch import nn

__all__ = ["receive_network", "take_over"]

HEADS = ("head", "decoder.seg_layers")
"""Prefixes of task heads, which are not transferred; the second is U-Mamba's."""


def receive_network(net: nn.Module, stages: Mapping[str, Any], pretrained: str | None) -> None:
    """Copy the weights of an earlier stage's `net`, except for the heads.

    Args:
        net: Changed in place.
        stages: Tested modules of the earlier stages, by name.
        pretrained: Name of the stage; None leaves the network unchanged.

    Raises:
        ValueError: If there is no such stage, or its network does not fit.
    """
    if pretrained is None:
        return
    if pretrained not in stages:
        raise ValueError(f"pretrained={pretrained}: no such stage before this one; there are {', '.join(stages)}")
    take_over(net, stages[pretrained].net)


def take_over(net: nn.Module, trained: nn.Module) -> None:
    """Copy the weights of a trained network to another, except for the heads.

    The trained network may have more layers: `UNetEncoder` takes only the encoder of a U-Net.

    Args:
        net: Changed in place.
        trained: Not changed.

    Raises:
        ValueError: If a weight is missing or has another shape; names the first.
    """
    given = trained.state_dict()
    own = {name: weight for name, weight in net.state_dict().items() if not name.startswith(HEADS)}
    for name, weight in own.items():
        if name not in given or given[name].shape != weight.shape:
            shape = tuple(given[name].shape) if name in given else "absent"
            raise ValueError(
                f"the trained network does not fit: {name} is {shape} there and {tuple(weight.shape)} here; "
                "give both the same channels, features, strides and kernels"
            )
    net.load_state_dict({name: given[name] for name in own}, strict=False)
