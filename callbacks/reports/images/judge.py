"""What a trained classifier makes of images: the features below its head, and the classes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Judge"]


class Judge:
    """Features and class probabilities of images in [0, 1].

    A classifier of this zoo (`medzoo.load`) gets the images in the size and with the mean and spread that it was
    trained on; any other network gets them as they are.

    Args:
        classifier: Gives logits (B, K) of images; features are what its last linear layer takes.

    Raises:
        ValueError: If it has no linear layer.
    """

    def __init__(self, classifier: nn.Module) -> None:
        layers = [layer for layer in classifier.modules() if isinstance(layer, nn.Linear)]
        if not layers:
            raise ValueError(f"{type(classifier).__name__} has no linear layer, whose input could be the features")
        self.classifier, self._head = classifier.eval(), layers[-1]
        config: Mapping[str, Any] = getattr(classifier, "config", None) or {}
        self._trained: Mapping[str, Any] = config.get("datamodule") or {}

    def __call__(self, images: Tensor) -> Tensor:
        """Features (B, F) of images (B, C, H, W) in [0, 1]."""
        return self._seen(images)[0]

    def classes(self, images: Tensor) -> np.ndarray:
        """Class probabilities (N, K), which sum to 1, of images (N, C, H, W) in [0, 1]."""
        with torch.no_grad():
            logits = torch.cat([self._seen(part)[1] for part in images.split(64)])
        return logits.double().softmax(1).numpy()

    def _seen(self, images: Tensor) -> tuple[Tensor, Tensor]:
        kept: list[Tensor] = []
        hook = self._head.register_forward_pre_hook(lambda layer, given: kept.append(given[0]))
        try:
            logits = self.classifier(self._prepared(images))
        finally:
            hook.remove()
        return kept[-1].flatten(1), logits

    def _prepared(self, images: Tensor) -> Tensor:
        size = self._trained.get("image_size")
        if isinstance(size, int) and size != images.shape[-1]:
            images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
        return (images - self._trained.get("mean", 0.0)) / self._trained.get("std", 1.0)
