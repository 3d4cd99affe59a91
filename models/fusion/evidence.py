"""The evidence of single modalities added up, without anything trained: what a fusion has to beat."""

import torch
from torch import Tensor

from medzoo.models.fitted.part import FittedPart

__all__ = ["Shrinkage", "summed_evidence"]


def summed_evidence(evidence: Tensor, present: Tensor, prior: Tensor) -> Tensor:
    """The naive Bayes rule: what each modality adds to the prior, added up.

    It is the best prediction if the modalities are independent given the class. Without the prior it is a plain sum.

    Args:
        evidence: (B, M, K) logits of the modalities' own heads.
        present: (B, M) bool.
        prior: (K,) logarithm of the share of each class.

    Returns:
        (B, K) logits.
    """
    return (evidence - prior).where(present[..., None], 0.0).sum(1) + prior


class Shrinkage(FittedPart):
    """Shrinks the output of a fusion towards the summed evidence: `sum + share * (output - sum)`.

    Args:
        outputs: K.
    """

    share: Tensor
    prior: Tensor

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.register_buffer("share", torch.ones(()))
        self.register_buffer("prior", torch.zeros(outputs))

    def forward(self, output: Tensor, evidence: Tensor, present: Tensor) -> Tensor:
        """(B, K) of the fusion's output (B, K) and the arguments of `summed_evidence`."""
        summed = summed_evidence(evidence, present.to(evidence.device, non_blocking=True), self.prior)
        return summed + self.share * (output - summed)
