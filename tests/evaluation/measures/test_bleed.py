import numpy as np
import pytest

from medzoo.evaluation.measures.bleed import SIGNS, bleed_signs

SPACING = (5.0, 1.0, 1.0)


def ball(radius=12, size=48):
    z, y, x = np.ogrid[:9, :size, :size]
    return ((5 * (z - 4)) ** 2 + (y - size / 2) ** 2 + (x - size / 2) ** 2) < radius**2


def measured(ct, bleed, spacing=SPACING):
    return dict(zip(SIGNS, bleed_signs(ct, bleed, spacing), strict=True))


def test_an_even_ball_of_blood_shows_nothing():
    found = measured(np.full((9, 48, 48), 66.0), ball())
    assert found == pytest.approx(
        {"density": 0.66, "unevenness": 0, "dark": 0, "bright": 0, "lopsided": 0, "irregular": 0.25}, abs=0.03
    )


def test_signs_are_what_their_names_say():
    bleed, rng = ball(), np.random.default_rng(0)
    noisy = 66 + rng.normal(0, 10, bleed.shape)
    assert measured(noisy, bleed)["unevenness"] == pytest.approx(0.5, abs=0.03)
    spot = np.full(bleed.shape, 60.0)
    spot[4, 24, 22:27] = 85
    assert measured(spot, bleed)["bright"] == pytest.approx(25 / 50)
    swirl = np.full(bleed.shape, 60.0)
    swirl[4, 18:30, 18:30] = 40
    assert measured(swirl, bleed)["dark"] > 0.3
    blend = 60 + 4 * (np.arange(48)[None, :, None] - 24) / np.argwhere(bleed)[:, 1].std() + np.zeros(bleed.shape)
    assert measured(blend, bleed)["lopsided"] == pytest.approx(4 / 10, rel=0.02), "HU for each standard deviation"


def test_the_outline_of_a_rectangle_in_closed_form():
    bleed = np.zeros((3, 20, 60), bool)
    bleed[1, 5:9, 5:45] = True
    outline, area = 2 * (4 + 40), 4 * 40
    assert measured(np.zeros(bleed.shape), bleed)["irregular"] == pytest.approx(outline**2 / area / (64 / np.pi) / 4)
    stretched = measured(np.zeros(bleed.shape), bleed, (5.0, 2.0, 2.0))
    assert stretched["irregular"] == pytest.approx(outline**2 / area / (64 / np.pi) / 4), "whatever the pixel size"


def test_without_a_bleed_nothing_is_known():
    assert np.isnan(bleed_signs(np.zeros((2, 4, 4)), np.zeros((2, 4, 4), bool), SPACING)).all()
