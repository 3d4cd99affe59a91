"""The result of a fusion, and how modalities are hidden from it.

`present` may lie on the CPU while tokens lie on a GPU: which rows have a modality is then known without waiting for it.
"""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Fused", "check_present", "drop_modalities", "masked_softmax", "rows_of"]


class Fused(NamedTuple):
    """The result of a fusion of M modalities.

    Attributes:
        output: (B, K + 1): logits of K classes, and the logarithm of the hazard.
        weights: (B, M), exactly 0 for absent modalities; the others of a patient sum to 1.
        terms: Terms that the fusion adds to the loss, weighted, by name.
    """

    output: Tensor
    weights: Tensor
    terms: dict[str, Tensor]


def check_present(present: Tensor) -> None:
    """Refuse patients without any modality.

    Args:
        present: (B, M) bool.

    Raises:
        ValueError: If a row has no modality.
    """
    empty = (~present.any(1)).nonzero()[:, 0].tolist()
    if empty:
        raise ValueError(f"row {empty[0]} of the batch has no modality at all: leave such patients out")


def rows_of(mask: Tensor, like: Tensor) -> Tensor:
    """Indices of the true entries of a mask (B,), on the device of another tensor."""
    return mask.nonzero()[:, 0].to(like.device, non_blocking=True)


def drop_modalities(present: Tensor, share: float) -> Tensor:
    """Hide each modality with the same probability, but keep at least one that the patient has.

    Args:
        present: (B, M) bool.
        share: Probability, in [0, 1].

    Returns:
        (B, M) bool, nowhere true where `present` is not.
    """
    draws = torch.rand_like(present, dtype=torch.get_default_dtype())
    kept = present & (draws >= share)
    spared = draws.where(present, -1.0).argmax(1, keepdim=True)  # one of those present, each equally likely
    alone = torch.zeros_like(present).scatter(1, spared, True)
    return torch.where(kept.any(1, keepdim=True), kept, alone & present)


def masked_softmax(scores: Tensor, present: Tensor) -> Tensor:
    """Shares (B, M) of scores (B, M): exactly 0 for absent modalities, the others sum to 1."""
    return scores.masked_fill(~present, -torch.inf).softmax(1)
