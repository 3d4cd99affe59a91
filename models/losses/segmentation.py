"""Losses of segmentation networks."""

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss, DiceLoss
from torch import Tensor, nn

__all__ = ["AnnotatedDiceCELoss", "DeepSupervisionDiceCELoss", "in_regions"]


def in_regions(mask: Tensor, regions: Sequence[Sequence[int]]) -> Tensor:
    """Label values (B, *spatial) to bool (B, regions, *spatial): where a voxel has one of a region's values."""
    return torch.stack([reduce(torch.logical_or, [mask == value for value in values]) for values in regions], dim=1)


class AnnotatedDiceCELoss(nn.Module):
    """Cross entropy plus soft Dice of annotated voxels, for classes or for overlapping regions.

    nnU-Net (documentation/ignore_label.md and region_based_training.md, `DC_and_CE_loss`, `DC_and_BCE_loss`): regions
    have a sigmoid each, and there is no background. Voxels without annotation are masked; if all are annotated, this is
    the plain loss. Binary cross entropy is the mean over regions; nnU-Net's is their sum in data with `ignore`.

    Args:
        batch_dice: Compute Dice over the whole batch instead of averaging over images.
        regions: Label values of each region; None for classes.
        ignore: Label value of voxels that are not annotated; None if there are none.
    """

    def __init__(
        self, batch_dice: bool = False, regions: Sequence[Sequence[int]] | None = None, ignore: int | None = None
    ) -> None:
        super().__init__()
        self.regions, self.ignore = regions, ignore
        self.dice = DiceLoss(include_background=bool(regions), batch=batch_dice)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Loss of logits (B, classes or regions, *spatial) and label values (B, 1, *spatial)."""
        mask = target[:, 0].long()
        known = torch.ones_like(mask, dtype=torch.bool) if self.ignore is None else mask != self.ignore
        count = known.sum().clamp(min=1)
        if self.regions:
            true, prediction = in_regions(mask, self.regions).float(), logits.sigmoid()
            entropy = F.binary_cross_entropy_with_logits(logits, true, reduction="none").mean(1)
        else:
            mask = mask.where(known, mask.new_zeros(()))
            true, prediction = torch.zeros_like(logits).scatter_(1, mask[:, None], 1.0), logits.softmax(1)
            entropy = F.cross_entropy(logits, mask, reduction="none")
        overlap = self.dice(prediction * known[:, None], true * known[:, None])
        return overlap + (entropy * known).sum() / count


class DeepSupervisionDiceCELoss(nn.Module):
    """Cross entropy plus soft Dice of the foreground, at every resolution that the network returns.

    nnU-Net (github.com/MIC-DKFZ/nnUNet, commit 0e49508, Apache-2.0): each head has half the weight of the one
    above it, the lowest has none, and weights sum to 1. Dice is MONAI's, smoothed by 1e-5; it is 1 - Dice here, nnU-Net
    uses -Dice.

    Args:
        batch_dice: Compute Dice over the whole batch instead of averaging over images.
        drop_last: Give the lowest of several heads no weight; nnFormer and UNETR++ keep its weight.
        regions: Label values of each region; None for classes.
        ignore: Label value of voxels that are not annotated; None if there are none.
    """

    def __init__(
        self,
        batch_dice: bool = False,
        drop_last: bool = True,
        regions: Sequence[Sequence[int]] | None = None,
        ignore: int | None = None,
    ) -> None:
        super().__init__()
        self.drop_last = drop_last
        self.criterion: nn.Module = DiceCELoss(
            include_background=False, to_onehot_y=True, softmax=True, batch=batch_dice
        )
        if regions or ignore is not None:
            self.criterion = AnnotatedDiceCELoss(batch_dice, regions, ignore)

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
        """Weight of each head."""
        weights = [0.5**head for head in range(heads)]
        if self.drop_last and heads > 1:
            weights[-1] = 0.0
        return [weight / sum(weights) for weight in weights]
