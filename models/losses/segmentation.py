"""Losses of segmentation networks."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss, DiceLoss
from torch import Tensor, nn

__all__ = ["AnnotatedDiceCELoss", "DeepSupervisionDiceCELoss", "in_regions"]


def in_regions(mask: Tensor, regions: Sequence[Sequence[int]]) -> Tensor:
    """Label values (B, *spatial) to bool (B, regions, *spatial): where a voxel has one of a region's values."""
    return torch.stack([torch.isin(mask, mask.new_tensor(values)) for values in regions], dim=1)


class AnnotatedDiceCELoss(nn.Module):
    """Cross entropy plus soft Dice of what is annotated, for classes or for regions that overlap.

    nnU-Net (documentation/ignore_label.md and region_based_training.md, `DC_and_CE_loss`, `DC_and_BCE_loss`): regions
    have a sigmoid each, and none is the background. Where nothing is annotated, nothing is learnt; where all is, it is
    the plain loss. Binary cross entropy is the mean over regions; nnU-Net's is their sum in data with `ignore`.

    Args:
        batch_dice: Whether Dice is over the whole batch, not the mean over images.
        regions: Label values of each region; none for classes.
        ignore: Label value of what is not annotated; none where all is.
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
            true, said = in_regions(mask, self.regions).float(), logits.sigmoid()
            entropy = F.binary_cross_entropy_with_logits(logits, true, reduction="none").mean(1)
        else:
            mask = mask.where(known, mask.new_zeros(()))
            true, said = F.one_hot(mask, logits.shape[1]).movedim(-1, 1).float(), logits.softmax(1)
            entropy = F.cross_entropy(logits, mask, reduction="none")
        overlap = self.dice(said * known[:, None], true * known[:, None])
        return overlap + (entropy * known).sum() / count


class DeepSupervisionDiceCELoss(nn.Module):
    """Cross entropy plus soft Dice of the foreground, at every resolution that the network gives.

    nnU-Net (github.com/MIC-DKFZ/nnUNet, commit 0e49508, Apache-2.0): each head counts half of the one above it, the
    lowest nothing, and weights sum to 1. Dice is MONAI's, with 1e-5 above and below; it is 1 - Dice here, nnU-Net's is
    -Dice.

    Args:
        batch_dice: Whether Dice is over the whole batch, not the mean over images.
        drop_last: Whether the lowest of several heads counts nothing; nnFormer and UNETR++ let it count.
        regions: Label values of each region, where they are learnt and not classes.
        ignore: Label value of what is not annotated and has no part.
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
        """What each head counts."""
        weights = [0.5**head for head in range(heads)]
        if self.drop_last and heads > 1:
            weights[-1] = 0.0
        return [weight / sum(weights) for weight in weights]
