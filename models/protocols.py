"""What an autoencoder offers to whoever trains or uses it: any network with these methods will do.

Python's `isinstance` looks for the names alone, so a network need not inherit from these classes.
"""

import inspect
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

__all__ = [
    "Autoencoder",
    "ImageAutoencoder",
    "RadiomicsNetwork",
    "SalientNetwork",
    "TwoPartNetwork",
    "VectorAutoencoder",
    "wrong_network",
]

Pair = tuple[Tensor, Tensor]


class Autoencoder(Protocol):
    """A variational autoencoder whose latent is a diagonal Gaussian."""

    def encode(self, x: Tensor) -> Pair:
        """Mean and standard deviation of the latent."""
        ...

    def sample(self, mean: Tensor, sigma: Tensor) -> Tensor:
        """A latent drawn from its distribution."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """What a latent stands for."""
        ...


@runtime_checkable
class ImageAutoencoder(Autoencoder, Protocol):
    """With a latent of `latent_channels` maps, such as `MultiHeadAutoencoderKL`."""

    latent_channels: int


@runtime_checkable
class VectorAutoencoder(Autoencoder, Protocol):
    """With a latent of `latent_features` numbers, for images of the size `sizes[0]`, such as `ResidualVAE`."""

    latent_features: int
    sizes: list[tuple[int, ...]]


class TwoPartNetwork(Protocol):
    """An autoencoder whose code has two parts."""

    def encode(self, image: Tensor) -> Any:
        """What it knows of the code."""
        ...

    def decode(self, first: Tensor, second: Tensor) -> Tensor:
        """Images of codes."""
        ...


@runtime_checkable
class RadiomicsNetwork(TwoPartNetwork, Protocol):
    """Its first part is given, `encode` makes mean and log variance of the second; such as `RadiomicsVAE`."""

    condition_features: int
    latent_features: int


@runtime_checkable
class SalientNetwork(TwoPartNetwork, Protocol):
    """`encode` makes mean and log variance of both parts; such as `SalientVAE`."""

    common_features: int
    salient_features: int


def wrong_network(net: object, wanted: type, example: str, argument: str = "net") -> ValueError:
    """The error for a network that lacks a member of the Protocol `wanted`, which `example` has."""
    members = [name for part in reversed(wanted.__mro__) for name in (*vars(part), *inspect.get_annotations(part))]
    needs = ", ".join(dict.fromkeys(name for name in members if not name.startswith("_")))
    return ValueError(f"{argument}={type(net).__name__} is no network such as {example}: it needs {needs}")
