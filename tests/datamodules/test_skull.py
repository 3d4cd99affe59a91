"""Heads with their skull and heads without: told apart by their voxels, and never given to a network of the other."""

import numpy as np
import pytest
import SimpleITK as sitk

from medzoo.datamodules import FollowupDataModule, HematomaScansDataModule
from medzoo.datamodules.phantoms.head import HeadPhantom
from medzoo.datamodules.preparation.scan import read_ct
from medzoo.datamodules.preparation.skull_strip import SkullStrip
from medzoo.datamodules.skull import bone_share, skull_of, skull_of_all
from tests.datamodules.segmentation.test_datamodule import PLAN

HOSPITALS = {"val_hospitals": ["Birs"], "test_hospitals": ["Kander"]}


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Two cohorts of the same patients: `intact` and `stripped`."""
    folder = tmp_path_factory.mktemp("heads")
    for name in ("intact", "stripped"):
        HeadPhantom({"Aare": 8, "Birs": 1, "Kander": 1}, 64, 3.0, 14, name == "intact", seed=0).write(folder / name)
    return folder


def scans(root, **options):
    plan = {**PLAN, "spacing": [5.0, 3.0, 3.0]}
    return HematomaScansDataModule(root, plan=plan, folds=2, batches=1, **{**HOSPITALS, **options})


def pairs(root):
    return FollowupDataModule(root, image_size=64, **HOSPITALS)


def scan_of(root, hospital="Kander"):
    return next(iter(sorted((root / hospital).iterdir())))


@pytest.mark.parametrize(("share", "kind"), [(0.0, "stripped"), (0.004, "stripped"), (0.16, "intact"), (0.01, None)])
def test_a_share_of_bone_tells(share, kind):
    ct = np.zeros(20_000)
    ct[:10_000] = 40
    ct[: round(10_000 * share)] = 900
    ct[15_000:] = -1000
    assert bone_share(ct) == pytest.approx(share)
    assert skull_of(bone_share(ct)) == kind


def test_an_image_without_tissue_tells_nothing():
    assert skull_of(bone_share(np.zeros((3, 3)))) is None
    assert skull_of(None) is None


@pytest.mark.parametrize(
    ("shares", "kind"),
    [
        ([0.16, 0.2, 0.1], "intact"),
        ([0.0, 0.001], "stripped"),
        ([0.16] * 9 + [0.02], "intact"),
        ([0.02, 0.01, 0.004, 0.03], None),  # abdomens
        ([0.02, 0.01, 0.07], None),
        ([None, None], None),
        ([], None),
    ],
)
def test_training_images_have_something_in_common_or_not(shares, kind, caplog):
    assert skull_of_all(shares) == kind
    assert not caplog.records


def test_training_images_of_both_kinds_are_told(caplog):
    assert skull_of_all([0.16, 0.0, 0.0]) is None
    assert "2 of 3 training images have no skull" in caplog.text


def test_a_real_series_is_told_apart_before_and_after_stripping(ge):
    ct = read_ct(ge, None)
    brain, hu = SkullStrip()(ct, "ge"), sitk.GetArrayFromImage(ct)
    assert skull_of(bone_share(hu)) == "intact"
    assert skull_of(bone_share(np.where(brain, hu, 0))) == "stripped"


@pytest.mark.parametrize(
    ("trained", "other", "message"),
    [
        ("intact", "stripped", "no bone .above 300 HU., as after skull stripping.*preparation.skull_strip=null"),
        ("stripped", "intact", "has its skull, but the training images were skull-stripped.*preparation=head_ct"),
    ],
)
def test_a_segmenter_refuses_heads_of_the_other_kind(heads, tmp_path, trained, other, message):
    data = scans(heads / trained)
    data.setup()
    state = data.state_dict()
    assert state["skull"] == trained
    again = scans(tmp_path / "nowhere")
    again.load_state_dict(state)
    again.set_predict_input(scan_of(heads / trained) / "baseline" / "ct.nii.gz")
    with pytest.raises(ValueError, match=f"baseline/ct.nii.gz: {message}"):
        again.set_predict_input(scan_of(heads / other) / "baseline" / "ct.nii.gz")
    for name, kind in (("a", trained), ("b", other)):  # of a folder the first is asked at once, the others when read
        (tmp_path / name).mkdir()
        (tmp_path / name / "ct.nii.gz").symlink_to(scan_of(heads / kind) / "baseline" / "ct.nii.gz")
    again.set_predict_input(tmp_path)
    batches = iter(again.predict_dataloader())
    assert next(batches)["id"] == ["a/ct"]
    with pytest.raises(ValueError, match=f"b/ct.nii.gz: {message}"):
        next(batches)
    foreign = scans(heads / other)
    foreign.load_state_dict(state)
    with pytest.raises(ValueError, match=message):
        foreign.setup("test")
    same = scans(heads / trained)
    same.load_state_dict(state)
    same.setup("test")


@pytest.mark.parametrize(("trained", "other"), [("intact", "stripped"), ("stripped", "intact")])
def test_a_forecast_refuses_heads_of_the_other_kind(heads, tmp_path, trained, other):
    data = pairs(heads / trained)
    data.setup()
    state = data.state_dict()
    assert state == {"skull": trained}
    again = pairs(tmp_path / "nowhere")
    again.load_state_dict(state)
    again.set_predict_input(scan_of(heads / trained))
    with pytest.raises(ValueError, match="skull"):
        again.set_predict_input(scan_of(heads / other))
    foreign = pairs(heads / other)
    foreign.load_state_dict(state)
    with pytest.raises(ValueError, match="skull"):
        foreign.setup("test")


def test_what_an_older_training_did_not_record_is_not_asked(heads, tmp_path):
    data = scans(heads / "intact")
    data.setup()
    state = {key: value for key, value in data.state_dict().items() if key != "skull"}
    again = scans(tmp_path / "nowhere")
    again.load_state_dict(state)
    again.set_predict_input(scan_of(heads / "stripped") / "baseline" / "ct.nii.gz")
    other = scans(heads / "stripped")
    other.load_state_dict(state)
    other.setup("test")


def test_a_test_hospital_that_strips_its_scans_is_found_before_training(heads, tmp_path):
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for hospital in ("Aare", "Birs", "Kander"):
        (mixed / hospital).symlink_to(heads / ("stripped" if hospital == "Kander" else "intact") / hospital)
    with pytest.raises(ValueError, match=r"Kander.*no bone"):
        scans(mixed).setup()


def test_images_without_a_unit_are_not_asked(heads):
    data = scans(heads / "intact", window="image")
    data.setup()
    assert data.state_dict()["skull"] is None
