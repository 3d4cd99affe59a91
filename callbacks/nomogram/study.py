"""The parts of a nomogram's report, and what it asks of the module and the datamodule."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import lightning as L
import numpy as np
import torch
from torch import Tensor

from medzoo.callbacks.collect import Batch
from medzoo.evaluation.nomogram.reading import FittedNomogram, Reading

__all__ = ["CaseImages", "Cases", "Data", "Module", "Study"]


class CaseImages(Protocol):
    """Images of cases: the case of each, and its score."""

    case: Sequence[str]
    score: np.ndarray


class Cases(Protocol):
    """N cases with K predictors.

    Attributes:
        names: N names.
        positive: (N,) bool.
        x: (N, K), NaN where missing.
        candidates: By name, (N,) of further predictors that were considered.
        readers: By name, scores (N,) and calls (N,), NaN where a case was not read.
        truth: (N,) true probabilities, of phantoms.
        images: None without images.
    """

    names: Sequence[str]
    positive: np.ndarray
    x: np.ndarray
    candidates: Mapping[str, np.ndarray]
    readers: Mapping[str, tuple[np.ndarray, np.ndarray]]
    truth: np.ndarray | None
    images: CaseImages | None


class Data(Protocol):
    """Members of the datamodule that are used; batches only where there are images."""

    phantom: object

    def ordered_dataloader(self, split: str) -> Iterable[Batch]:
        """Batches of `image`, in the order of the case table's images."""


class Nomogram(FittedNomogram, Protocol):
    """The fitted nomogram, with the mean latents of image scores (S, L) and these scores (S,), empty without images."""

    latent: Tensor
    score: Tensor


class Module(Protocol):
    """Members of the module that are used; `decode` and `image_score` only where there are images."""

    trainer: L.Trainer
    device: torch.device
    nomogram: Nomogram
    nomogram_notes: Sequence[str]
    nomogram_method: Mapping[str, str]

    def case_table(self, data: Data, *splits: str) -> Cases:
        """The cases of some splits."""

    def case_probabilities(self, table: Cases) -> dict[str, np.ndarray]:
        """(N,) by model, the nomogram first."""

    def decode(self, latent: Tensor) -> Tensor:
        """Images (B, C, H, W) of latents (B, L)."""

    def image_score(self, image: Tensor) -> Tensor:
        """Score (B,) of images, differentiable."""


@dataclass(frozen=True)
class Study:
    """A fitted nomogram, and the cases that it is tested on.

    Attributes:
        reading: The nomogram of the checkpoint.
        table: The test cases; none where all cases were for the development.
        probabilities: (N,) of the test cases by model, the nomogram first.
        numbers: Metrics of the test cases.
        own: Whether the nomogram was fitted in this very run.
    """

    reading: Reading
    table: Cases | None
    probabilities: Mapping[str, np.ndarray]
    numbers: Mapping[str, float]
    own: bool
