import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from medzoo.evaluation.figures import segmentation_figure
from medzoo.evaluation.measures.segmentation import (
    case_scores,
    grouped_dice,
    hausdorff95,
    summary,
    surface_dice,
)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.5, 0.7)])
def test_distance_is_that_of_monai(spacing):
    for a, b, *both in pairs():
        expected = compute_hausdorff_distance(*both, include_background=True, percentile=95, spacing=spacing)
        assert hausdorff95(a, b, spacing) == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.5, 0.7)])
@pytest.mark.parametrize("tolerance", [0.0, 0.9, 2.0, 6.0])
def test_surface_dice_is_that_of_monai(spacing, tolerance):
    for a, b, *both in pairs():
        expected = compute_surface_dice(*both, [tolerance], include_background=True, spacing=spacing)
        assert surface_dice(a, b, spacing, tolerance) == pytest.approx(expected.item(), rel=1e-5)


def pairs():
    """Five pairs of masks of three boxes each, as arrays and as MONAI takes them."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = (np.zeros((10, 14, 12), bool) for _ in range(2))
        for mask in (a, b):
            for _ in range(3):
                corner = rng.integers(0, 7, 3)
                mask[tuple(slice(at, at + int(rng.integers(2, 5))) for at in corner)] = True
        yield a, b, *(torch.from_numpy(mask)[None, None].float() for mask in (a, b))


def test_surface_dice_of_squares_that_are_known():
    one, other = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    one[5:10, 5:10], other[5:10, 6:11] = True, True  # 16 voxels of surface each, one of them moved by a voxel
    assert surface_dice(one, other, (1, 1), 1.0) == 1
    # With columns 3 mm apart, 6 of 16 are farther than 1 mm: the outer column, and the middle of the inner one.
    assert surface_dice(one, other, (1, 3), 1.0) == pytest.approx(20 / 32)
    assert surface_dice(one, one, (1, 1), 0.0) == 1
    assert surface_dice(one, np.zeros_like(one), (1, 1), 100.0) == 0, "a missed one has no surface"
    assert np.isnan(surface_dice(np.zeros_like(one), np.zeros_like(one), (1, 1), 1.0))


def test_distance_of_nothing():
    empty, point = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    assert np.isnan(hausdorff95(empty, empty, (1, 1)))
    assert np.isnan(hausdorff95(empty, point, (1, 1)))
    one, other = np.zeros((2, 9), bool), np.zeros((2, 9), bool)
    one[0, 1], other[0, 7] = True, True
    assert hausdorff95(one, other, (3, 0.5)) == pytest.approx(3)


def test_scores_of_cases_and_their_means():
    true = np.zeros((4, 5, 5), int)
    true[1, 1:3, 1:3] = 1
    said = np.zeros_like(true)
    said[1, 1:3, 1] = 1
    classes = ("background", "blood", "edema")
    row = case_scores(said, true, (5, 2, 2), classes)
    assert row["dice_blood"] == pytest.approx(2 * 2 / (2 + 4))
    assert row["iou_blood"] == pytest.approx(2 / 4)
    assert row["volume_blood_ml"] == pytest.approx(2 * 20 / 1000)
    assert row["true_volume_blood_ml"] == pytest.approx(4 * 20 / 1000)
    assert np.isnan([row[f"{name}_edema"] for name in ("dice", "iou", "hd95")]).all()
    missed = case_scores(np.zeros_like(true), true, (5, 2, 2), classes)
    said = summary([row, missed], classes)
    assert said["dice_blood"] == pytest.approx(1 / 3)
    assert said["dice"] == pytest.approx(1 / 3), "edema is nowhere: it has no part in the mean"
    assert np.isnan(said["dice_edema"])
    assert (said["scored"], said["scored_blood"], said["scored_edema"], said["missed"]) == (2, 2, 0, 1)
    assert said["hd95_mm"] == pytest.approx(row["hd95_blood"])
    assert row["nsd_blood"] == pytest.approx(1), "all within 2 mm: the drawn surface is one voxel away"
    assert said["nsd"] == pytest.approx((row["nsd_blood"] + 0) / 2)
    assert said["volume_bias_ml"] == pytest.approx(-(0.04 + 0.08) / 4)
    assert said["volume_mae_ml"] == pytest.approx(0.03)


def nnunet_means(said, true, classes):
    """As `compute_metrics_on_folder` of nnU-Net: NaN without TP, FP, FN; the mean over cases, then over classes."""
    means = []
    for value in range(1, classes):
        counts = [((s == value) & (t == value), (s == value) ^ (t == value)) for s, t in zip(said, true, strict=True)]
        pairs = [(both.sum(), wrong.sum()) for both, wrong in counts]
        means.append(
            np.nanmean([[2 * tp / (2 * tp + w), tp / (tp + w)] if tp + w else [np.nan] * 2 for tp, w in pairs], axis=0)
        )
    return np.mean(means, axis=0)


def test_absent_classes_are_left_out_as_in_nnunet():
    rng = np.random.default_rng(0)
    true = [rng.choice([0, 1, 2, 3], (4, 6, 6), p=[0.7, 0.1, 0.1, 0.1]) for _ in range(4)]
    said = [np.where(rng.random(t.shape) < 0.7, t, rng.choice(4, t.shape)) for t in true]
    for index, value in ((0, 1), (2, 3), (3, 3)):  # neither has it
        true[index][true[index] == value] = said[index][said[index] == value] = 0
    true[1][true[1] == 2] = 0  # said where there is none
    said[3][said[3] == 2] = 0  # missed
    names = ("background", "a", "b", "c")
    rows = [case_scores(s, t, (1, 1, 1), names) for s, t in zip(said, true, strict=True)]
    means = summary(rows, names)
    assert [means["dice"], means["iou"]] == pytest.approx(nnunet_means(said, true, 4))
    assert [means[name] for name in ("scored", "scored_a", "scored_b", "scored_c", "missed")] == [9, 3, 4, 2, 2]
    assert [rows[k]["dice_b"] for k in (1, 3)] == [0, 0]


def test_a_class_that_is_never_found_scores_zero():
    true = np.zeros((3, 4, 4), int)
    rows = [case_scores(true, true, (1, 1, 1), ("background", "rare")) for _ in range(6)]
    true = true.copy()
    true[0, 0, 0] = 1
    rows.append(case_scores(np.zeros_like(true), true, (1, 1, 1), ("background", "rare")))
    means = summary(rows, ("background", "rare"))
    assert (means["dice"], means["iou"], means["scored"], means["missed"]) == (0, 0, 1, 1)
    assert np.isnan(means["hd95_mm"])


def test_dice_of_patients_leaves_out_those_without_a_class():
    true, said = np.zeros((3, 4, 4), int), np.zeros((3, 4, 4), int)
    true[0, 0, :2] = said[0, 0, :1] = 1
    rows = [case_scores(s, t, (1, 1), ("background", "blood")) for s, t in zip(said, true, strict=True)]
    assert grouped_dice(rows, ["one", "one", "other"], ("background", "blood")) == pytest.approx(2 / 3)
    assert np.isnan(grouped_dice(rows[1:], ["one", "other"], ("background", "blood")))


def test_figure_shows_the_slice_with_most_foreground():
    image, mask = np.random.default_rng(0).normal(size=(3, 8, 8)), np.zeros((3, 8, 8), int)
    mask[2, 2:5, 2:5] = 1
    figure = segmentation_figure(["Dice 1.00"], [image], [mask], [mask], [(5, 1, 2)])
    shown = figure.axes[0].images[0].get_array()
    assert np.array_equal(shown, image[2, ::-1, ::-1])
    assert figure.axes[0].get_aspect() == 0.5
    flat = segmentation_figure(["Dice 1.00"], [image[2]], [mask[2]], [mask[2]], [(1, 2)])
    assert np.array_equal(flat.axes[0].images[0].get_array(), image[2]), "a picture stands upright already"
    assert [len(axes.collections) > 0 for axes in figure.axes] == [False, True, True]


def test_scores_leave_out_what_is_not_annotated_and_take_regions():
    true = np.array([[0, 1, 1, 2], [3, 3, 3, 3]])
    said = np.array([[0, 1, 2, 2], [1, 1, 2, 0]])
    names = ("background", "whole", "core")
    found = case_scores(said, true, (1.0, 1.0), names, regions=[[1, 2], [2]], ignore=3)
    assert found["dice_whole"] == 1
    assert found["dice_core"] == pytest.approx(2 / 3)
    assert found["volume_core_ml"] == 2 * found["true_volume_core_ml"]
    plain = case_scores(said[:1], true[:1], (1.0, 1.0), names)
    assert case_scores(said, true, (1.0, 1.0), names, ignore=3) == pytest.approx(plain, nan_ok=True)
