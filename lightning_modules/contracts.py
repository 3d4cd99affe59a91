"""What modules ask of a datamodule, beside batches; datamodules are not imported here, so these are Protocols."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from torch import Tensor

__all__ = ["Batch", "CaseData", "Cases", "CohortData", "FollowupData", "OrderedData", "RadiomicsData", "TrainingData"]

Batch = dict[str, Any]
"""A batch, or what a step returns for one: `id` (B names), and tensors and lists by name."""


class TrainingData(Protocol):
    """Training batches of one process, so that all processes fit the same to them."""

    def unshared_dataloader(self) -> Iterable[Batch]:
        """The batches of an epoch."""
        ...


class OrderedData(Protocol):
    """Splits in order and without augmentation."""

    def ordered_dataloader(self, split: str) -> Iterable[Batch]:
        """All batches of a split, on every process."""
        ...


class Scaler(Protocol):
    """Mean and scale (F,) of each feature."""

    mean: np.ndarray
    scale: np.ndarray


class RadiomicsData(OrderedData, Protocol):
    """Images with hand-crafted radiomics."""

    def hcr_scaler(self) -> Scaler:
        """Scale of the radiomics of the training images."""
        ...


class CohortData(OrderedData, Protocol):
    """Patients with some of several modalities."""

    def table(self, split: str) -> Mapping[str, np.ndarray]:
        """`label` (N,), `present` (N, M) and `clinical` (N, K) of the patients of a split."""
        ...


class FollowupData(Protocol):
    """Patients with a baseline and a follow-up scan."""

    def clinical(self, split: str) -> Mapping[str, np.ndarray]:
        """`id` (N,), `clinical` (N, K), `signs` (N, S), `label` (N,), `baseline_ml` and `followup_ml` of a split."""
        ...

    def patient_dataloader(self, split: str) -> Iterable[Batch]:
        """Whole patients of a split, one a batch, in the order of `clinical`, on every process."""
        ...

    def cache_latents(self, encode: Callable[[Tensor], Tensor], key: str) -> None:
        """Encode the scans once; batches then hold latents. `key` stands for the encoder."""
        ...


class Cases(Protocol):
    """N cases of a table; see `datamodules.cases.Cases`."""

    names: list[str]
    positive: np.ndarray | None
    split: list[str]
    values: Mapping[str, np.ndarray]
    readers: Mapping[str, tuple[np.ndarray, np.ndarray]]
    probability: np.ndarray | None

    def __getitem__(self, rows: np.ndarray) -> "Cases":
        """The cases of some rows (M,) int."""
        ...


class CaseData(OrderedData, Protocol):
    """Cases with an outcome and predictors, for a nomogram."""

    predictors: Sequence[str]
    candidates: Sequence[str]
    missing: Literal["refuse", "impute"]
    class_names: Sequence[str]
    phantom: object

    def cases(self, *splits: str) -> Cases | None:
        """The cases of some splits; none where images came without a table."""
        ...

    def case_of(self, image: str) -> str:
        """The case of an image."""
        ...
