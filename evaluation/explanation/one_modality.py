"""A network of several modalities, seen as a network of one image."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

__all__ = ["ModalityNet", "OneModality"]


class Fused(Protocol):
    """A fusion: `output` (B, K + 1), logits of K classes and one more."""

    output: Tensor


class ModalityNet(Protocol):
    """Members of a network of several modalities that are used, as in `models.FusionNetwork`."""

    modalities: Sequence[str]
    encoders: nn.ModuleDict

    def encode(self, inputs: Mapping[str, Tensor], present: Tensor) -> Tensor:
        """Tokens (B, M, D) of inputs by modality."""

    def evidence(self, tokens: Tensor) -> Tensor:
        """Logits of each modality alone."""

    def fuse(self, tokens: Tensor, evidence: Tensor, present: Tensor) -> Fused:
        """The fusion of the modalities that are present."""


class OneModality(nn.Module):
    """A network of several modalities as a network of one image: all else that is known of the patient is held fixed.

    Args:
        net: The network.
        inputs: Of one patient (1, ...), by modality.
        present: (1, M) bool.
        modality: The modality of the image, which the patient has.
        bag: The image is a bag of tiles; it is then taken as (1, C, T, h, w) in place of (1, T, C, h, w).
    """

    def __init__(
        self, net: ModalityNet, inputs: Mapping[str, Tensor], present: Tensor, modality: str, *, bag: bool = False
    ) -> None:
        super().__init__()
        self.net, self.modality, self.bag = net, modality, bag
        self.index = net.modalities.index(modality)
        with torch.inference_mode(False), torch.no_grad():  # inference tensors take part in no graph
            self.present = present.clone()
            self.tokens = net.encode(inputs, self.present)

    def forward(self, image: Tensor) -> Tensor:
        """Output (B, K + 1) for other images of this modality."""
        own = self.net.encoders[self.modality](image.transpose(1, 2) if self.bag else image)
        tokens = self.tokens.expand(len(image), -1, -1).clone()
        tokens[:, self.index] = own
        present = self.present.expand(len(image), -1)
        return self.net.fuse(tokens, self.net.evidence(tokens), present).output
