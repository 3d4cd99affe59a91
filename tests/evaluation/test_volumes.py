import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from evaluation.volumes import dice, slice_consistency, volume_ml, volume_similarity


def ball(radius_mm, shape, spacing, centre=None):
    centre = centre or [(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True)]
    axes = [np.arange(n) * s - c for n, s, c in zip(shape, spacing, centre, strict=True)]
    grids = np.meshgrid(*axes, indexing="ij")
    return sum(grid**2 for grid in grids) <= radius_mm**2


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.7, 0.5, 2.5)])
def test_volume_of_a_ball(spacing):
    shape = [int(60 / s) for s in spacing]
    assert volume_ml(ball(25, shape, spacing), spacing) == pytest.approx(4 / 3 * np.pi * 2.5**3, rel=0.01)


def test_volumes_of_many_masks_at_once():
    masks = np.zeros((2, 3, 10, 10, 10))
    masks[1, 2, :5] = 1
    assert volume_ml(masks, (2, 2, 2.5)).tolist() == [[0, 0, 0], [0, 0, 5.0]]


def test_a_mask_with_too_few_axes_has_no_volume():
    with pytest.raises(ValueError, match="2 axes"):
        volume_ml(np.ones((3, 3)), (1, 1, 1))


def test_dice_equals_monai():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(size=(2, 6, 7, 8)) < 0.3
    expected = compute_dice(*(torch.tensor(mask)[None, None].float() for mask in (a, b))).item()
    assert dice(a, b) == pytest.approx(expected)


def test_dice_and_similarity_of_empty_masks():
    empty, full = np.zeros((2, 2)), np.ones((2, 2))
    assert (dice(empty, empty), dice(empty, full), dice(full, full)) == (1.0, 0.0, 1.0)
    assert (volume_similarity(0, 0), volume_similarity(0, 4), volume_similarity(3, 1)) == (1.0, 0.0, 0.5)


def test_dice_of_different_grids_is_refused():
    with pytest.raises(ValueError, match="different shapes"):
        dice(np.ones((2, 2)), np.ones((2, 3)))


def test_slices_that_drift_apart_agree_less():
    mask = np.zeros((6, 32, 32))
    mask[1:5, 10:20, 10:20] = 1
    steady = slice_consistency(60 * mask, mask)
    shifted = np.stack([np.roll(plane, 3 * (z % 2), axis=1) for z, plane in enumerate(mask)])
    drifting = slice_consistency(60 * shifted, shifted)
    # three pairs of equal slices, and the two ends where the bleed meets an empty slice
    assert steady["slice_dice"] == pytest.approx(3 / 5)
    assert drifting["slice_dice"] == pytest.approx(3 / 5 * 0.7)
    assert drifting["slice_difference"] > steady["slice_difference"]


def test_slice_difference_equals_a_slow_loop():
    rng = np.random.default_rng(0)
    ct, mask = rng.normal(size=(3, 9, 9)), np.zeros((3, 9, 9))
    mask[1, 4, 4] = 1
    around = [(4, 4), (3, 4), (5, 4), (4, 3), (4, 5)]
    slow = np.mean([abs(ct[z + 1][p] - ct[z][p]) for z in (0, 1) for p in around])
    assert slice_consistency(ct, mask, margin=1)["slice_difference"] == pytest.approx(slow)


def test_no_bleed_has_no_consistency():
    assert all(np.isnan(value) for value in slice_consistency(np.ones((3, 4, 4)), np.zeros((3, 4, 4))).values())
