import numpy as np
import pytest

from medzoo.evaluation.measures.morphology import CHAMBERS, morphology

SPACING = (0.1, 0.1)
# Centre (y, x) and half axes (along, across) in mm, angle of the long axis against the rows.
HEART = {
    "LV": ((20, 12), (9, 4), 0.0),
    "RV": ((20, 25), (8, 5), 0.0),
    "LA": ((36, 12), (4, 4), 0.0),
    "RA": ((36, 25), (6, 4), 0.5),
}


def drawn(heart, spacing=SPACING, size_mm=(48, 40)):
    shape = [round(length / edge) for length, edge in zip(size_mm, spacing, strict=True)]
    y, x = np.meshgrid(*(np.arange(n) * edge for n, edge in zip(shape, spacing, strict=True)), indexing="ij")
    mask = np.zeros(shape, np.uint8)
    for name, ((cy, cx), (along, across), angle) in heart.items():
        u = np.cos(angle) * (y - cy) + np.sin(angle) * (x - cx)
        v = -np.sin(angle) * (y - cy) + np.cos(angle) * (x - cx)
        mask[(u / along) ** 2 + (v / across) ** 2 <= 1] = CHAMBERS[name]
    return mask


@pytest.mark.parametrize("spacing", [SPACING, (0.08, 0.15)])
def test_ellipses_have_the_sizes_of_geometry(spacing):
    said, notes = morphology(drawn(HEART, spacing), spacing)
    for name, (_, (along, across), _) in HEART.items():
        assert said[f"{name}_area"] == pytest.approx(np.pi * along * across, rel=0.01)
        assert said[f"{name}_length"] == pytest.approx(2 * along, rel=0.01)
        assert said[f"{name}_diameter"] == pytest.approx(2 * across, rel=0.01)
        assert said[f"{name}_feret"] == pytest.approx(2 * along, abs=2 * max(spacing))
        assert said[f"{name}_ellipticity"] == pytest.approx(across / along, rel=0.01)
    assert said["LV_RV_area_ratio"] == pytest.approx(36 / 40, rel=0.01)
    assert said["LA_RA_area_ratio"] == pytest.approx(16 / 24, rel=0.01)
    assert said["interventricular_septal_thickness"] == pytest.approx(13 - 4 - 5, abs=0.2)
    assert notes == []


def test_septum_is_measured_along_the_line_of_centroids():
    slanted = {"LV": ((15, 12), (5, 5), 0.0), "RV": ((24, 24), (6, 6), 0.0)}
    said, _ = morphology(drawn(slanted), SPACING)
    assert said["interventricular_septal_thickness"] == pytest.approx(15 - 11, abs=0.2)
    touching, _ = morphology(drawn(slanted | {"RV": ((15, 22), (5, 5), 0.0)}), SPACING)
    assert touching["interventricular_septal_thickness"] == pytest.approx(0, abs=0.2)


def test_measures_grow_with_the_spacing():
    mask = drawn(HEART)
    small, large = morphology(mask, (0.1, 0.1))[0], morphology(mask, (0.3, 0.3))[0]
    for name, value in small.items():
        power = 2 if name.endswith("_area") else 0 if name.endswith(("ratio", "ellipticity")) else 1
        assert large[name] == pytest.approx(value * 3**power), name


def test_a_hypoplastic_ventricle_is_small_beside_the_right_one():
    healthy, _ = morphology(drawn(HEART), SPACING)
    ill, _ = morphology(drawn(HEART | {"LV": ((20, 12), (4, 2), 0.0)}), SPACING)
    assert ill["LV_RV_area_ratio"] < 0.3 < 0.8 < healthy["LV_RV_area_ratio"]
    assert ill["RV_area"] == healthy["RV_area"]


def test_a_chamber_that_is_not_outlined_is_missing_and_said():
    mask = drawn(HEART)
    mask[mask == CHAMBERS["LV"]] = 0
    said, notes = morphology(mask, SPACING)
    missing = {name for name, value in said.items() if np.isnan(value)}
    assert missing == {name for name in said if name.startswith("LV_")} | {"interventricular_septal_thickness"}
    assert notes == ["LV is not outlined: its measures are missing"]
    nothing, notes = morphology(np.zeros((5, 5)), SPACING)
    assert all(np.isnan(value) for value in nothing.values())
    assert len(notes) == 4


def test_stray_pixels_change_nothing_and_are_said():
    mask = drawn(HEART)
    expected, _ = morphology(mask, SPACING)
    mask[2, 2] = CHAMBERS["RA"]
    said, notes = morphology(mask, SPACING)
    assert said == expected
    assert notes == ["RA is outlined in 2 pieces: the largest is measured"]


def test_a_single_pixel_has_an_area_and_no_shape():
    mask = np.zeros((9, 9), int)
    mask[4, 4] = CHAMBERS["LA"]
    said, notes = morphology(mask, (0.5, 0.25))
    assert said["LA_area"] == 0.125
    assert np.isnan(said["LA_diameter"])
    assert np.isnan(said["LA_ellipticity"])
    assert any("one pixel wide" in note for note in notes)


@pytest.mark.parametrize(
    ("mask", "spacing", "message"),
    [
        (np.array([[0, 5], [1, 7]]), SPACING, "labels 5, 7; known are 0 background, 1 LV, 2 RV, 3 LA, 4 RA"),
        (np.array([[0.5, 1]]), SPACING, "labels 0.5;"),
        (np.zeros((2, 3, 4)), SPACING, "not a view of four chambers"),
        (np.zeros((4, 4)), (0.1,), "spacing_mm"),
        (np.zeros((4, 4)), (0.1, 0.0), "spacing_mm"),
    ],
)
def test_masks_that_are_none_are_refused_in_one_line(mask, spacing, message):
    with pytest.raises(ValueError, match=message) as raised:
        morphology(mask, spacing)
    assert "\n" not in str(raised.value)
