"""Losses of segmentation networks."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss
from torch import Tensor, nn

__all__ = ["DeepSupervisionDiceCELoss"]


class DeepSupervisionDiceCELoss(nn.Module):
    """Cross entropy plus soft Dice of the foreground, at every resolution that the network gives.

    nnU-Net (github.com/MIC-DKFZ/nnUNet, commit 0e49508, Apache-2.0): each head counts half of the one above it, the
    lowest nothing, and weights sum to 1. Dice is MONAI's, with 1e-5 above and below; it is 1 - Dice here, nnU-Net's is
    -Dice.

    Args:
        batch_dice: Whether Dice is over the whole batch, not the mean over images.
        drop_last: Whether the lowest of several heads counts nothing; nnFormer and UNETR++ let it count.
    """

    def __init__(self, batch_dice: bool = False, drop_last: bool = True) -> None:
        super().__init__()
        self.drop_last = drop_last
        self.criterion = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=batch_dice)

    def forward(self, logits: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Loss of logits [(B, classes, *spatial), ...], the full resolution first, and label values (B, *spatial)."""
        total = logits[0].new_zeros((), dtype=torch.float32)
        for weight, each in zip(self.weights(len(logits)), logits, strict=True):
            target = mask[:, None].float()
            if target.shape[2:] != each.shape[2:]:
                target = F.interpolate(target, each.shape[2:], mode="nearest-exact")
            total = total + weight * self.criterion(each.float(), target)
        return total

    def weights(self, heads: int) -> list[float]:
        """What each head counts."""
        weights = [0.5**head for head in range(heads)]
        if self.drop_last and heads > 1:
            weights[-1] = 0.0
        return [weight / sum(weights) for weight in weights]
