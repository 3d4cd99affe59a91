"""Radiomics of odd input, their cache and their scaler."""

import logging
from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from medzoo.datamodules.radiomics import FeatureScaler, Flag, RadiomicsSettings, extract, extract_cached, extract_one
from medzoo.datamodules.radiomics import cache as cache_module
from medzoo.datamodules.radiomics.cache import cache_file
from medzoo.datamodules.radiomics.masks import make_masks

ALL = ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
GIVEN = RadiomicsSettings("given", ALL)
BRIGHT = RadiomicsSettings("otsu_bright")


def images(count=6, shape=(10, 12), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 1, *shape)).astype(np.uint8)


# --- degenerate masks


@pytest.mark.parametrize("shape", [(6, 6), (6, 6, 6)])
def test_empty_and_one_voxel_masks_are_nan_and_flagged_and_told_once(shape, caplog):
    masks = np.zeros((6, *shape), bool)
    masks[2:] = True
    masks[1].flat[5] = True
    with caplog.at_level(logging.WARNING):
        features, names, flags = extract(images(shape=shape), masks, GIVEN)
    assert flags.tolist() == [Flag.EMPTY, Flag.ONE_VOXEL, 0, 0, 0, 0]
    assert np.isnan(features[:2]).all()
    assert np.isfinite(features[2:]).all()
    assert len(names) == features.shape[1] == (102 if len(shape) == 2 else 107)
    assert [record.getMessage() for record in caplog.records] == [
        "radiomics: of 6 masks 1 empty, 1 one_voxel; their features are partly or wholly NaN"
    ]


def test_a_constant_image_has_its_shape_and_mean_but_no_skewness():
    features, flag = extract_one(np.full((6, 6), 50), np.ones((6, 6)), GIVEN)
    assert flag == Flag.CONSTANT | Flag.ONE_LEVEL
    assert features["firstorder_Mean"] == 50
    assert (features["firstorder_Entropy"], features["firstorder_Uniformity"]) == (0, 1)
    assert features["shape2D_PixelSurface"] == 36
    missing = {name for name, value in features.items() if np.isnan(value)}
    assert missing == {
        *(f"firstorder_{name}" for name in ("Skewness", "Kurtosis")),
        *(f"glcm_{name}" for name in ("Correlation", "Imc1", "MCC")),
        *(f"ngtdm_{name}" for name in ("Coarseness", "Contrast", "Busyness", "Strength")),
    }


def test_a_constant_image_of_broken_numbers_is_constant_too():
    features, flag = extract_one(np.full((9, 9), 0.1), np.ones((9, 9)), RadiomicsSettings("given", ("firstorder",)))
    assert flag & Flag.CONSTANT
    assert np.isnan(features["firstorder_Skewness"])


def test_voxels_that_do_not_touch_have_no_texture_of_pairs():
    mask = np.zeros((7, 9))
    mask[1, 1] = mask[4, 6] = 1
    image = np.arange(63).reshape(7, 9) * 10
    features, flag = extract_one(image, mask, GIVEN)
    assert flag == Flag.UNDEFINED
    assert np.isnan(features["glcm_Contrast"])
    assert features["glszm_SmallAreaEmphasis"] == 1


def test_a_line_of_voxels_is_described():
    mask = np.zeros((5, 5, 5))
    mask[2, 2, 1:4] = 1
    features, _ = extract_one(np.arange(125).reshape(5, 5, 5), mask, RadiomicsSettings("given"))
    assert features["shape_MinorAxisLength"] == features["shape_Elongation"] == 0
    assert features["shape_Maximum3DDiameter"] == pytest.approx(3)


def test_where_a_mask_lies_does_not_matter():
    image, mask = images(1, (9, 9))[0, 0], np.zeros((9, 9))
    mask[2:6, 3:7] = 1
    mask[3, 4] = 0
    here, _ = extract_one(image, mask, GIVEN)
    there, _ = extract_one(np.roll(image, (2, -3), (0, 1)), np.roll(mask, (2, -3), (0, 1)), GIVEN)
    assert list(here.values()) == pytest.approx(list(there.values()), rel=1e-9)


# --- what is refused


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 2, 8, 8), (0, 1, 8, 8), (2, 1, 2, 2, 8, 8)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="radiomics describe one channel"):
        extract(np.zeros(shape), None, BRIGHT)


def test_intensities_that_are_no_numbers_are_refused():
    broken = images().astype(float)
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        extract(broken, None, BRIGHT)


def test_masks_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"masks of shape \(6, 10, 11\) do not fit images of shape \(6, 10, 12\)"):
        extract(images(), np.ones((6, 10, 11)), GIVEN)


def test_masks_and_policy_belong_together():
    with pytest.raises(ValueError, match=r"no masks were given, but settings\.mask=given"):
        extract(images(), None, GIVEN)
    with pytest.raises(ValueError, match=r"masks were given, but settings\.mask=otsu_bright"):
        extract(images(), np.ones((6, 10, 12)), BRIGHT)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mask": "otsu"}, "mask='otsu' is unknown; choose from given, otsu_bright"),
        ({"families": ("shape2D",)}, "families='shape2D' is unknown"),
        ({"families": ()}, "name at least one"),
        ({"families": ("glcm", "glcm")}, "each once"),
        ({"definition": "mine"}, "definition='mine' is unknown"),
        ({"bin_width": 0.0}, "must be positive"),
        ({"bin_count": 0}, "must be positive"),
        ({"spacing": (1.0, -1.0)}, "must be positive"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        RadiomicsSettings(**({"mask": "full"} | options))


def test_a_spacing_needs_a_value_for_each_axis():
    with pytest.raises(ValueError, match=r"spacing=\[1.0, 1.0, 2.0\] has 3 values, images have 2 axes"):
        extract(images(), None, RadiomicsSettings("full", spacing=(1.0, 1.0, 2.0)))


def test_more_grey_levels_than_texture_can_hold_are_refused():
    with pytest.raises(ValueError, match="widen it, or set bin_count"):
        extract(images() * 1000.0, None, RadiomicsSettings("full", ("glcm",)))


# --- masks


def test_masks_by_policy():
    image = np.array([[[0, 0, 10], [10, 200, 220]]], np.uint8)
    assert make_masks(image, None, "otsu_bright").sum() == 2
    assert make_masks(image, None, "otsu_dark").sum() == 4
    assert make_masks(image, None, "nonzero").sum() == 4
    assert make_masks(image, None, "full").sum() == 6
    assert make_masks(image, image[:, None], "given").sum() == 4


def test_nothing_is_brighter_in_a_constant_image():
    _, _, flags = extract(np.full((2, 1, 5, 5), 9, np.uint8), None, BRIGHT)
    assert (flags == Flag.EMPTY).all()


def test_bin_width_counts_in_raw_intensities():
    raw = images()
    entropy = [
        extract(x, None, RadiomicsSettings("full", ("firstorder",)))[0][:, 2] for x in (raw, raw / 255.0)
    ]  # fmt: skip
    assert (entropy[0] > 3).all()
    assert (entropy[1] == 0).all()


def test_bins_begin_where_the_definition_says():
    image, mask = np.array([[12, 20], [21, 36]]), np.ones((2, 2))
    uniformity = {
        definition: extract_one(
            image, mask, RadiomicsSettings("given", ("firstorder",), bin_width=10, definition=definition)
        )[0]["firstorder_Uniformity"]
        for definition in ("pyradiomics", "ibsi")
    }
    assert uniformity == {"pyradiomics": 6 / 16, "ibsi": 10 / 16}


# --- cache


@pytest.fixture
def counted(monkeypatch):
    """Calls of `extract` by the cache."""
    calls = []
    monkeypatch.setattr(cache_module, "extract", lambda *given: calls.append(given) or extract(*given))
    return calls


def test_a_set_is_described_once_for_each_choice_of_settings(tmp_path, counted):
    data, x = tmp_path / "breastmnist_64.npz", images()
    first = extract_cached(data, "train", x, None, BRIGHT)
    again = extract_cached(data, "train", x, None, BRIGHT)
    assert len(counted) == 1
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    extract_cached(data, "train", x, None, RadiomicsSettings("otsu_bright", bin_width=10.0))
    assert len(counted) == 2
    assert len(list(tmp_path.iterdir())) == 2
    assert cache_file(data, "train", BRIGHT).name == f"breastmnist_64_train.radiomics-{BRIGHT.digest()}.npz"


def test_a_file_of_other_settings_is_not_believed(tmp_path, counted):
    data, x = tmp_path / "set.npz", images()
    other = RadiomicsSettings("otsu_dark")
    extract_cached(data, "train", x, None, other)
    cache_file(data, "train", other).rename(cache_file(data, "train", BRIGHT))
    features, _, _ = extract_cached(data, "train", x, None, BRIGHT)
    assert len(counted) == 2
    np.testing.assert_array_equal(features, extract(x, None, BRIGHT)[0])


def test_a_file_of_other_images_or_masks_is_not_believed(tmp_path, counted):
    data, masks = tmp_path / "set.npz", np.ones((6, 10, 12), bool)
    for x, mask in [(images(), masks), (images(seed=1), masks), (images(seed=1), masks & (images(seed=1)[:, 0] > 9))]:
        extract_cached(data, "train", x, mask, RadiomicsSettings("given"))
    assert len(counted) == 3


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_a_damaged_file_is_replaced_and_told(tmp_path, counted, caplog, content):
    data = tmp_path / "set.npz"
    file = cache_file(data, "test", BRIGHT)
    file.write_bytes(content)
    extract_cached(data, "test", images(), None, BRIGHT)
    extract_cached(data, "test", images(), None, BRIGHT)
    assert len(counted) == 1
    assert f"{file}: damaged" in caplog.text


def test_a_folder_that_cannot_be_written_costs_the_cache_alone(tmp_path, caplog):
    (tmp_path / "gone").write_text("a file where a folder should be")
    features, _, _ = extract_cached(tmp_path / "gone" / "set.npz", "test", images(), None, BRIGHT)
    assert len(features) == 6
    assert "radiomics are not kept in" in caplog.text


# --- scaler


def test_the_scaler_knows_the_training_images_alone():
    train, test = np.array([[1.0, 5.0], [3.0, 5.0]]), np.array([[5.0, 7.0]])
    scaler = FeatureScaler.fit(train, ["a", "b"])
    np.testing.assert_allclose(scaler.transform(train, ["a", "b"]), [[-1, 0], [1, 0]])
    np.testing.assert_allclose(scaler.transform(test, ["a", "b"]), [[3, 2]])


def test_a_missing_feature_becomes_the_mean_of_training():
    train = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    scaled = FeatureScaler.fit(train, ["a", "b"]).transform(train, ["a", "b"])
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[-1, 0], [1, 0], [0, 0]])


def test_the_scaler_refuses_other_features():
    scaler = FeatureScaler.fit(np.ones((2, 2)), ["a", "b"])
    with pytest.raises(ValueError, match=r"fitted on 2 features \(a, b, \.\.\.\), not on these 2 \(b, a"):
        scaler.transform(np.ones((2, 2)), ["b", "a"])
    with pytest.raises(ValueError, match="do not fit 3 names"):
        FeatureScaler.fit(np.ones((2, 2)), ["a", "b", "c"])


def test_a_fitted_scale_cannot_be_changed():
    scaler = FeatureScaler.fit(np.arange(6.0).reshape(3, 2), ["a", "b"])
    with pytest.raises(FrozenInstanceError):
        scaler.mean = np.zeros(2)
