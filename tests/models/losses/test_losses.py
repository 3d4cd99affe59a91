import math

import numpy as np
import pytest
import torch

from medzoo.models import ClassificationLoss, DeepSupervisionDiceCELoss


def test_cross_entropy_equals_the_formula():
    logits, label = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    each = [
        -math.log(math.exp(row[k]) / sum(map(math.exp, row))) for row, k in zip(logits.tolist(), label, strict=True)
    ]
    slow = sum(each) / 5
    assert ClassificationLoss("multiclass")(logits, label).item() == pytest.approx(slow, rel=1e-5)


def test_label_smoothing_spreads_the_target():
    logits, label, smooth = torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), 0.2
    log_prob = logits.log_softmax(1)
    target = torch.full((4, 3), smooth / 3).scatter_add(1, label[:, None], torch.full((4, 1), 1 - smooth))
    slow = -(target * log_prob).sum(1).mean()
    assert torch.allclose(ClassificationLoss("binary", label_smoothing=smooth)(logits, label), slow)


def test_class_weights_are_a_weighted_mean():
    logits, label = torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    weight = torch.tensor([1.0, 3.0])[label]
    each = -logits.log_softmax(1)[range(4), label]
    slow = (weight * each).sum() / weight.sum()
    assert torch.allclose(ClassificationLoss("binary", class_weight=[1, 3])(logits, label), slow)


def test_several_labels_are_independent():
    logits, label = torch.randn(4, 3), torch.tensor([[0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]]).float()
    p = logits.sigmoid()
    slow = -(label * p.log() + (1 - label) * (1 - p).log()).mean()
    assert torch.allclose(ClassificationLoss("multilabel")(logits, label), slow, atol=1e-6)


def test_half_precision_logits_are_raised_to_float32():
    assert ClassificationLoss("binary")(torch.randn(2, 2).bfloat16(), torch.tensor([0, 1])).dtype == torch.float32


def test_smoothing_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"label_smoothing=1\.5"):
        ClassificationLoss("binary", label_smoothing=1.5)


def test_segmentation_loss_is_cross_entropy_plus_dice_of_every_head():
    """By voxel and by class, as nnU-Net has it: weights 2/3, 1/3 and none for the lowest of three heads."""
    torch.manual_seed(0)
    mask = torch.randint(0, 3, (2, 4, 8))
    logits = [torch.randn(2, 3, 4, 8), torch.randn(2, 3, 2, 4), torch.randn(2, 3, 1, 2)]
    loss = DeepSupervisionDiceCELoss()
    assert loss.weights(6) == pytest.approx([16 / 31, 8 / 31, 4 / 31, 2 / 31, 1 / 31, 0])
    assert DeepSupervisionDiceCELoss(drop_last=False).weights(3) == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    expected = 0.0
    for weight, each, step in zip((2 / 3, 1 / 3), logits, (1, 2), strict=False):
        target = mask[:, step // 2 :: step, step // 2 :: step]
        prob = each.softmax(1)
        entropy = [-math.log(prob[b, target[b, i, j], i, j]) for b, i, j in np.ndindex(*target.shape)]
        dice = []
        for b in range(2):
            for value in (1, 2):
                p, t = prob[b, value], (target[b] == value).float()
                dice.append((2 * (p * t).sum() + 1e-5) / (p.sum() + t.sum() + 1e-5))
        expected += weight * (sum(entropy) / len(entropy) + 1 - sum(dice) / len(dice))
    assert loss(logits, mask).item() == pytest.approx(float(expected), rel=1e-5)
