"""Latents and reconstruction errors of the images of cases."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from medzoo.lightning_modules.contracts import CaseData

__all__ = ["EncodedImages", "encode_images"]


@dataclass(frozen=True)
class EncodedImages:
    """N images.

    Attributes:
        ids: N names.
        case: (N,) names of their cases.
        latent: (N, L) mean latents.
        error: (N,) mean squared errors of the reconstructions.
        score: (N,) image scores; empty until there are some.
    """

    ids: list[str]
    case: np.ndarray
    latent: np.ndarray
    error: np.ndarray
    score: np.ndarray

    def of(self, cases: Sequence[str]) -> "EncodedImages":
        """The images of some cases."""
        rows = np.flatnonzero(np.isin(self.case, cases))
        return EncodedImages(
            [self.ids[row] for row in rows], self.case[rows], self.latent[rows], self.error[rows], np.empty(0)
        )

    def scored(self, score: np.ndarray) -> "EncodedImages":
        """A copy with scores (N,)."""
        return replace(self, score=score)


class DecodesLatents(Protocol):
    """A module with a latent of numbers, such as `ResidualVAEModule`."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def latent(self, image: Tensor) -> Tensor:
        """Mean latent (B, L) of images."""
        ...

    def decode(self, latent: Tensor) -> Tensor:
        """Images of latents."""
        ...


@torch.no_grad()
def encode_images(module: DecodesLatents, datamodule: CaseData, splits: tuple[str, ...]) -> EncodedImages:
    """Encode all images of some splits, without augmentation.

    Args:
        module: With `latent` and `decode`.
        datamodule: With `ordered_dataloader` and `case_of`.
        splits: Names.
    """
    ids: list[str] = []
    latents, errors = [], []
    for batch in (batch for split in splits for batch in datamodule.ordered_dataloader(split)):
        image = batch["image"].to(module.device)
        latent = module.latent(image)
        decoded = module.decode(latent)
        ids += batch["id"]
        latents.append(latent.cpu().double())
        errors.append((decoded[:, 0] - image[:, 0]).cpu().double().square().flatten(1).mean(1))
    case = np.array([datamodule.case_of(name) for name in ids])
    return EncodedImages(ids, case, torch.cat(latents).numpy(), torch.cat(errors).numpy(), np.empty(0))
