"""What is not annotated has no part in the loss, and regions are learnt each by itself."""

import pytest
import torch
import torch.nn.functional as F

from medzoo.models import DeepSupervisionDiceCELoss
from medzoo.models.losses.segmentation import AnnotatedDiceCELoss, in_regions

REGIONS = [[1, 2], [2]]


def made(channels, highest=2, size=(4, 6, 5)):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, channels, *size, generator=generator, requires_grad=True)
    return logits, torch.randint(0, highest + 1, (2, *size), generator=generator)


@pytest.mark.parametrize("batch_dice", [False, True])
def test_where_all_is_annotated_it_is_the_plain_loss(batch_dice):
    logits, mask = made(3)
    plain, annotated = (DeepSupervisionDiceCELoss(batch_dice, ignore=ignore) for ignore in (None, 3))
    assert annotated([logits], mask).item() == pytest.approx(plain([logits], mask).item(), rel=1e-6)


@pytest.mark.parametrize("regions", [None, REGIONS])
def test_what_is_not_annotated_is_as_if_it_were_not_there(regions):
    logits, mask = made(2 if regions else 3)
    loss = AnnotatedDiceCELoss(batch_dice=True, regions=regions, ignore=3)
    kept = loss(logits[:, :, :2], mask[:, None, :2])
    mask[:, 2:] = 3
    total = loss(logits, mask[:, None])
    assert total.item() == pytest.approx(kept.item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(total, logits)
    assert (gradient[:, :, 2:] == 0).all()
    assert (gradient[:, :, :2] != 0).any()


@pytest.mark.parametrize("regions", [None, REGIONS])
def test_a_patch_without_annotation_teaches_nothing(regions):
    logits, mask = made(2 if regions else 3)
    criterion = DeepSupervisionDiceCELoss(regions=regions, ignore=3)
    total = criterion([logits, F.avg_pool3d(logits, 2)], torch.full_like(mask, 3))
    assert torch.isfinite(total)
    (gradient,) = torch.autograd.grad(total, logits)
    assert (gradient == 0).all()


def test_regions_are_sigmoids_with_dice_and_binary_cross_entropy():
    logits, mask = made(2)
    true = torch.stack([mask > 0, mask == 2], 1).float()
    assert torch.equal(in_regions(mask, REGIONS).float(), true)
    said = logits.sigmoid()
    axes = (2, 3, 4)
    dice = (2 * (said * true).sum(axes) + 1e-5) / (said.sum(axes) + true.sum(axes) + 1e-5)
    entropy = -(true * said.log() + (1 - true) * (1 - said).log()).mean()
    found = DeepSupervisionDiceCELoss(regions=REGIONS)([logits], mask)
    assert found.item() == pytest.approx((1 - dice.mean() + entropy).item(), rel=1e-5)
