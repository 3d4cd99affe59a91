"""Weights from one network to another that shares all but its heads."""

from collections.abc import Mapping
from typing import Any

from torch import nn

__all__ = ["receive_network", "take_over"]

HEADS = ("head", "decoder.seg_layers")
"""Beginnings of the names of layers whose size is that of the task: of all networks but U-Mamba, and of U-Mamba."""


def receive_network(net: nn.Module, stages: Mapping[str, Any], pretrained: str | None) -> None:
    """Take over the weights of an earlier stage's `net`.

    Args:
        net: Changed in place.
        stages: Tested modules of the earlier stages, by name.
        pretrained: The stage; none leaves the network as it is.

    Raises:
        ValueError: If there is no such stage, or its network does not fit.
    """
    if pretrained is None:
        return
    if pretrained not in stages:
        raise ValueError(f"pretrained={pretrained}: no such stage before this one; there are {', '.join(stages)}")
    take_over(net, stages[pretrained].net)


def take_over(net: nn.Module, trained: nn.Module) -> None:
    """Copy the weights of a trained network to another, but for those of its heads.

    The trained network may have more: of a U-Net that restored images, `UNetEncoder` takes the way down.

    Args:
        net: Changed in place.
        trained: Left as it is.

    Raises:
        ValueError: If any other weight is missing or of another shape; the first one is named.
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
