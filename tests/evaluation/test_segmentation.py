import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance

from evaluation.figures import segmentation_figure
from evaluation.segmentation import case_scores, hausdorff95, summary


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.5, 0.7)])
def test_distance_is_that_of_monai(spacing):
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = (np.zeros((10, 14, 12), bool) for _ in range(2))
        for mask in (a, b):
            for _ in range(3):
                corner = rng.integers(0, 7, 3)
                mask[tuple(slice(at, at + int(rng.integers(2, 5))) for at in corner)] = True
        both = [torch.from_numpy(mask)[None, None].float() for mask in (a, b)]
        expected = compute_hausdorff_distance(*both, include_background=True, percentile=95, spacing=spacing)
        assert hausdorff95(a, b, spacing) == pytest.approx(expected.item(), rel=1e-5)


def test_distance_of_nothing():
    empty, point = np.zeros((4, 4), bool), np.eye(4, dtype=bool)
    assert hausdorff95(empty, empty, (1, 1)) == 0
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
    assert row["dice_edema"] == 1
    missed = case_scores(np.zeros_like(true), true, (5, 2, 2), classes)
    said = summary([row, missed], classes)
    assert said["dice_blood"] == pytest.approx(1 / 3)
    assert said["dice"] == pytest.approx((2 / 3 + 1 + 0 + 1) / 4)
    assert said["missed"] == 1
    assert said["hd95_mm"] == pytest.approx((row["hd95_blood"] + 0 + 0) / 3)
    assert said["volume_bias_ml"] == pytest.approx(-(0.04 + 0.08) / 4)
    assert said["volume_mae_ml"] == pytest.approx(0.03)


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
