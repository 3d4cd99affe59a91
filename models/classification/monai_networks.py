"""Any 2-D or 3-D classifier of MONAI by name, behind one set of argument names.

MONAI's networks call the same thing by different names (`n_input_channels` or `in_channels`, `num_classes` or
`out_channels`), and some return more than logits. Here they all look alike.
"""

import difflib
import inspect
from collections.abc import Callable
from typing import Any

import monai.networks.nets
from torch import Tensor, nn

__all__ = ["monai_network"]

# What MONAI calls our arguments, in the order in which we look for them.
_ALIASES = {
    "in_channels": ("n_input_channels", "in_channels"),
    "num_classes": ("num_classes", "out_channels"),
    "spatial_dims": ("spatial_dims",),
}


def monai_network(name: str, *, spatial_dims: int, in_channels: int, num_classes: int, **options: Any) -> nn.Module:
    """Build a MONAI classifier that returns logits.

    Args:
        name: A name in `monai.networks.nets`, such as `resnet18`, `DenseNet121`, `SEResNet50` or `ViT`.
        spatial_dims: 2 for images, 3 for volumes.
        in_channels: Image channels.
        num_classes: Number of logits.
        **options: Handed to the network, for instance `widen_factor`, `conv1_t_stride` or `img_size`.

    Returns:
        A network from (B, in_channels, *spatial) to (B, num_classes).

    Raises:
        ValueError: If MONAI has no such network, or the network is no classifier.
    """
    factory = _factory(name)
    accepted = _accepted_arguments(factory)
    arguments = dict(options)
    for ours, value in (("spatial_dims", spatial_dims), ("in_channels", in_channels), ("num_classes", num_classes)):
        theirs = next((alias for alias in _ALIASES[ours] if alias in accepted), None)
        if theirs is None:
            raise ValueError(f"MONAI's '{name}' takes no {ours}: it is not an image classifier")
        arguments[theirs] = value
    if "classification" in accepted:
        arguments.setdefault("classification", True)
    if "post_activation" in accepted:  # MONAI's ViT squashes its logits with tanh unless told not to
        arguments.setdefault("post_activation", None)
    unknown = set(arguments) - accepted
    if unknown:
        raise ValueError(f"MONAI's '{name}' does not take {sorted(unknown)}; it takes {sorted(accepted)}")
    return _LogitsOnly(factory(**arguments)) if name == "ViT" else factory(**arguments)


class _LogitsOnly(nn.Module):
    """MONAI's ViT returns (logits, hidden states of every layer); keep the logits."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)[0]


def _factory(name: str) -> Callable[..., nn.Module]:
    factory = getattr(monai.networks.nets, name, None)
    if not callable(factory):
        close = difflib.get_close_matches(name, dir(monai.networks.nets), n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(close)}?" if close else "; see monai.networks.nets"
        raise ValueError(f"MONAI has no network '{name}'{hint}")
    return factory


def _accepted_arguments(factory: Callable[..., nn.Module]) -> set[str]:
    """Names of the arguments of a class, or of a function such as `resnet18` that hands its own on to a class."""
    accepted: set[str] = set()
    targets: list[Any] = [factory]
    if inspect.isfunction(factory) and factory.__name__.startswith("resnet"):
        targets.append(monai.networks.nets.ResNet)
    if inspect.isclass(factory):  # DenseNet121 and friends hand **kwargs to their parent
        targets += factory.__mro__[1:-1]
    for target in targets:
        parameters = inspect.signature(target.__init__ if inspect.isclass(target) else target).parameters
        accepted |= {n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break
    return accepted - {"self", "pretrained", "progress", "block", "layers", "block_inplanes"}
