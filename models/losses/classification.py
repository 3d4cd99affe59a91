"""The training loss of a classifier, chosen by the kind of its labels."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ClassificationLoss", "Task"]

Task = Literal["binary", "multiclass", "ordinal", "multilabel"]


class ClassificationLoss(nn.Module):
    """Cross entropy for one label per image, binary cross entropy for several.

    This is the loss of the MedMNIST protocol (Yang et al. 2023, doi:10.1038/s41597-022-01721-8): binary tasks have two
    logits, ordinal grades are treated as classes. Computed in float32 also under mixed precision.

    Args:
        task: Kind of the labels.
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        class_weight: One weight for each class (for `multilabel`: of the positive label), none for equal weights.

    Raises:
        ValueError: If `label_smoothing` is outside [0, 1).
    """

    def __init__(
        self, task: Task, *, label_smoothing: float = 0.0, class_weight: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing={label_smoothing} is out of range: expected 0 <= label_smoothing < 1")
        self.task = task
        self.label_smoothing = label_smoothing
        weight = None if class_weight is None else torch.tensor(list(class_weight), dtype=torch.float32)
        self.register_buffer("class_weight", weight, persistent=False)  # comes from the config, not from training
        self.class_weight: Tensor | None

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Mean loss of a batch.

        Args:
            logits: (B, K) of any float type.
            label: (B,) class indices, or (B, K) zeros and ones for `multilabel`.

        Returns:
            A float32 scalar.
        """
        logits = logits.float()
        if self.task == "multilabel":
            smooth = self.label_smoothing
            target = label.float() * (1 - smooth) + smooth / 2
            return F.binary_cross_entropy_with_logits(logits, target, pos_weight=self.class_weight)
        return F.cross_entropy(logits, label, weight=self.class_weight, label_smoothing=self.label_smoothing)
