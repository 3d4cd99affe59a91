import numpy as np
import pytest
import torch
from monai.metrics import compute_dice

from medzoo.evaluation.measures.volumes import (
    abc2_ml,
    dice,
    mesh_volume_ml,
    slice_consistency,
    volume_ml,
    volume_similarity,
)


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
    assert (dice(empty, full), dice(full, full)) == (0.0, 1.0)
    assert (volume_similarity(0, 4), volume_similarity(3, 1)) == (0.0, 0.5)
    assert np.isnan([dice(empty, empty), volume_similarity(0, 0)]).all()


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


def ellipsoid(radii_mm, spacing_mm, turn=0.0):
    """(Z, H, W) mask of an ellipsoid, turned in its slices."""
    size = [int(2 * max(radii_mm) / side) + 6 for side in spacing_mm]
    z, y, x = ((np.arange(n) - (n - 1) / 2) * side for n, side in zip(size, spacing_mm, strict=True))
    z, y, x = np.meshgrid(z, y, x, indexing="ij")
    y, x = y * np.cos(turn) + x * np.sin(turn), x * np.cos(turn) - y * np.sin(turn)
    return (z / radii_mm[0]) ** 2 + (y / radii_mm[1]) ** 2 + (x / radii_mm[2]) ** 2 <= 1


@pytest.mark.parametrize("turn", [0.0, 0.6])
def test_volumes_of_an_ellipsoid(turn):
    radii, spacing = (15.0, 20.0, 12.0), (2.5, 0.5, 0.5)
    mask, true = ellipsoid(radii, spacing, turn), 4 / 3 * np.pi * np.prod(radii) / 1000
    assert volume_ml(mask, spacing) == pytest.approx(true, rel=0.01)
    assert mesh_volume_ml(mask, spacing) == pytest.approx(true, rel=0.04)
    assert mesh_volume_ml(mask, spacing) < volume_ml(mask, spacing), "corners are cut"
    c = 30 * (0.5 + (0.75**0.5 - 0.5) / 2)  # the area falls as 1 - (z / r)^2: 75% at r / 2, 25% at 0.87 r
    assert abc2_ml(mask, spacing) == pytest.approx(40 * 24 * c / 2000, rel=0.04)


def test_a_box_has_the_bedside_volume_of_its_edges():
    mask = np.zeros((6, 20, 30), int)
    mask[1:5, 5:15, 4:28] = 1
    mask[5, 5:8, 4:28] = 1  # 30% of the largest area: half a slice
    mask[0, 5:7, 4:28] = 1  # 20%: none
    a = np.hypot(10, 24)
    b = 2 * 10 * 24 / a  # the width of a rectangle across its diagonal
    assert abc2_ml(mask, (5, 1, 1)) == pytest.approx(a * b * 4.5 * 5 / 2000)
    assert abc2_ml(np.zeros((2, 3, 3)), (1, 1, 1)) == 0
    assert mesh_volume_ml(np.zeros((2, 3, 3)), (1, 1, 1)) == 0
