"""Radiomics of colour images: the grey image, and each channel inside the same mask."""

import numpy as np
import pytest
from PIL import Image

from medzoo.datamodules.radiomics import Flag, RadiomicsSettings, extract, feature_names, to_grey

RNG = np.random.default_rng(0)
BRIGHT = RadiomicsSettings("otsu_bright", families=("shape", "firstorder", "glcm"))


def test_grey_is_that_of_pillow():
    images = RNG.integers(0, 256, (5, 3, 9, 7), np.uint8)
    expected = [np.asarray(Image.fromarray(np.moveaxis(image, 0, -1)).convert("L")) for image in images]
    assert np.array_equal(to_grey(images), expected)
    assert to_grey(images.astype(float)) == pytest.approx(np.array(expected, float), abs=0.51)


def test_colour_without_colour_is_its_grey_image_three_times_more():
    grey = RNG.integers(0, 256, (4, 1, 16, 16), np.uint8)
    features, names, flags = extract(np.repeat(grey, 3, 1), None, BRIGHT)
    plain, own, _ = extract(grey, None, BRIGHT)
    assert names == feature_names(BRIGHT, 2, 3)
    assert len(names) == 9 + 18 + 24 + 3 * 18
    assert features[:, : len(own)] == pytest.approx(plain, nan_ok=True)
    first_order = plain[:, [name.startswith("firstorder") for name in own]]
    assert features[:, len(own) :] == pytest.approx(np.tile(first_order, 3), nan_ok=True)
    assert (flags == 0).all()


def test_channels_are_described_inside_the_mask_of_grey():
    images = np.zeros((1, 3, 10, 10), np.uint8)
    images[:, 1, 2:6, 2:8] = 200  # bright in grey, by green
    images[:, 0] = RNG.integers(0, 30, (10, 10))
    features, names, _ = extract(images, None, BRIGHT)
    found = dict(zip(names, features[0], strict=True))
    inside = images[0, 0, 2:6, 2:8]
    assert found["red_firstorder_Mean"] == pytest.approx(inside.mean())
    assert found["red_firstorder_Maximum"] == inside.max()
    assert found["green_firstorder_Mean"] == 200
    assert found["shape2D_PixelSurface"] == 24


def test_a_channel_of_one_value_is_flagged_and_shape_alone_needs_no_channels():
    images = RNG.integers(0, 256, (2, 3, 8, 8), np.uint8)
    images[:, 2] = 7
    assert (extract(images, None, RadiomicsSettings("full"))[2] & Flag.CONSTANT).all()
    shape = RadiomicsSettings("otsu_dark", families=("shape",))
    assert extract(images, None, shape)[1] == feature_names(shape, 2) == feature_names(shape, 2, 3)
