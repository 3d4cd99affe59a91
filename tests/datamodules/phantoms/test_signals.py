import numpy as np
import pytest
from scipy.special import expit

from medzoo.datamodules.phantoms.lesion_or_none import lesion_or_none, lesion_or_none_phantom
from medzoo.datamodules.phantoms.two_signals import two_signals, two_signals_phantom
from medzoo.datamodules.radiomics import RadiomicsSettings, extract
from medzoo.evaluation.scores.classification import auc


def share(table, target):
    """Of the variance of the target, explained by a linear model of columns that have values."""
    table = np.c_[table[:, np.isfinite(table).all(0)], np.ones(len(table))]
    table = table / np.maximum(np.abs(table).max(0), 1e-12)
    said = table @ np.linalg.lstsq(table, target, rcond=1e-6)[0]
    return 1 - np.var(target - said) / np.var(target)


@pytest.mark.parametrize("dims", [2, 3])
def test_radiomics_of_the_mask_tell_the_size_and_not_the_slope(dims):
    images, labels, probability = two_signals_phantom(300, size=20, seed=3, spatial_dims=dims)
    size, slope = two_signals(300, 3)
    assert probability == pytest.approx(expit(6 * (size - 0.5) + 6 * (slope - 0.5)))
    features = extract(images[:, None], None, RadiomicsSettings("otsu_bright"))[0]
    assert share(features, size) > 0.9
    assert share(features, slope) < 0.3, "of as many columns, by chance 0.09"
    assert labels.mean() == pytest.approx(probability.mean(), abs=0.07)


def test_ceilings_of_the_two_signals_are_as_documented():
    size, slope = two_signals(200_000, 0)
    probability = expit(6 * (size - 0.5) + 6 * (slope - 0.5))
    label = np.random.default_rng(1).uniform(size=200_000) < probability
    areas = [auc(label, score)[0] for score in (size, slope, probability)]
    assert areas == pytest.approx([0.776, 0.776, 0.899], abs=0.004)


@pytest.mark.parametrize(
    ("correlation", "weights", "ceilings"),
    [(0.0, (2, 10), [0.565, 0.931, 0.937]), (0.8, (6, 6), [0.920, 0.920, 0.948])],
)
def test_variants_split_the_signals_otherwise(correlation, weights, ceilings):
    images, _, probability = two_signals_phantom(60, size=12, seed=3, weights=weights, correlation=correlation)
    size, slope = two_signals(60, 3, correlation)
    assert probability == pytest.approx(expit(weights[0] * (size - 0.5) + weights[1] * (slope - 0.5)))
    tilt = images[:, -3:].mean((1, 2)) - images[:, :3].mean((1, 2))
    assert np.corrcoef(tilt, slope)[0, 1] > 0.7
    size, slope = two_signals(200_000, 0, correlation)
    assert [size.mean(), slope.mean(), slope.std()] == pytest.approx([0.5, 0.5, 12**-0.5], abs=0.005)
    chance = expit(weights[0] * (size - 0.5) + weights[1] * (slope - 0.5))
    label = np.random.default_rng(1).uniform(size=200_000) < chance
    areas = [auc(label, score)[0] for score in (size, slope, chance)]
    assert areas == pytest.approx(ceilings, abs=0.004)


def test_a_lesion_is_what_the_label_says_and_the_slope_is_not():
    images, labels, probability = lesion_or_none_phantom(200, seed=1)
    label, size, slope = lesion_or_none(200, 1)
    assert (labels[:, 0] == label).all()
    assert (probability == label).all()
    bright = (images > 170).mean(axis=(1, 2))
    assert (bright[label] > 0.03).all()
    assert (bright[~label] == 0).all()
    assert np.corrcoef(bright[label], size[label])[0, 1] > 0.9
    tilt = images[:, -6:].mean((1, 2)) - images[:, :6].mean((1, 2))
    assert np.corrcoef(tilt[~label], slope[~label])[0, 1] > 0.9
    assert abs(np.corrcoef(slope, label)[0, 1]) < 0.2
