"""Pictures with masks: read, kept apart by patient, predicted on; real slices of CT-ICH where they are at hand."""

import lightning as L
import numpy as np
import pytest
from PIL import Image

from medzoo.callbacks import SegmentationWriter
from medzoo.datamodules import SegmentationDataModule
from medzoo.datamodules.io.pictures.labels import read_label_picture
from medzoo.datamodules.io.pictures.pages import read_picture
from medzoo.datamodules.segmentation.files import find_images
from medzoo.datamodules.segmentation.pictures import alike, read_pictures
from medzoo.models import PlainUNet
from tests.conftest import REAL_DATA
from tests.lightning_modules.test_segmentation import module

PLAN = {
    "spacing": [1, 1], "patch": [16, 16], "batch_size": 2, "features": [4, 4],
    "strides": [[1, 1], [2, 2]], "kernels": [[3, 3]] * 2,
}  # fmt: skip
MSD = REAL_DATA / "liver" / "msd_liver_slices"
CT_ICH = REAL_DATA / "head-ct" / "ct-ich_v1.0.0_slices"


def write(root, heads, slices=4, size=24, first=100, noise=50):
    """Slices that resemble those of the same head; a mask in each."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for head in range(heads):
        base = rng.integers(0, 250 - noise, (size, size))
        for number in range(slices):
            name = f"{first + slices * head + number}.png"
            Image.fromarray((base + rng.integers(0, noise, base.shape)).astype(np.uint8)).save(root / "images" / name)
            mask = np.zeros((size, size, 3), np.uint8)
            mask[4:9, 6:12] = (0, 80, 210)  # a coloured mask
            Image.fromarray(mask).save(root / "masks" / name)
    return root


def data(root, **options):
    return SegmentationDataModule(root, **{"plan": PLAN, "folds": 2, "patient": None, **options})


def test_a_slice_unlike_the_one_before_begins_a_new_patient(tmp_path):
    write(tmp_path, heads=3)
    groups = alike(read_pictures(tmp_path).train, tmp_path)
    assert {name: [case for case, first in groups.items() if first == name] for name in ("100", "104", "108")} == {
        "100": ["100", "101", "102", "103"], "104": ["104", "105", "106", "107"], "108": ["108", "109", "110", "111"],
    }  # fmt: skip


def test_numbers_without_zeros_in_front_are_in_order(tmp_path):
    write(tmp_path, heads=3, first=2)
    groups = alike(read_pictures(tmp_path).train, tmp_path)
    assert {name: (int(name) - 2) // 4 for name in groups} == {name: (int(groups[name]) - 2) // 4 for name in groups}


@pytest.mark.parametrize("fold", [0, 1])
def test_no_patient_is_in_two_splits(tmp_path, fold):
    made = data(write(tmp_path, heads=4), fold=fold)
    made.setup()
    heads = {name: {(int(case) - 100) // 4 for case in cases} for name, cases in made.split.items()}
    assert heads["train"] | heads["val"] == {0, 1, 2, 3}
    assert not heads["train"] & heads["val"]
    assert heads["test"] == heads["val"]


def test_masks_are_label_values_or_bright_in_any_channel(tmp_path):
    for name, levels in {"label": [[0, 1]], "grey": [[20, 200]], "empty": [[0, 0]]}.items():
        Image.fromarray(np.array(levels, np.uint8)).save(tmp_path / f"{name}.png")
        assert read_label_picture(tmp_path / f"{name}.png").tolist() == ([[0, 0]] if name == "empty" else [[0, 1]])
    write(tmp_path / "set", heads=1)
    assert read_label_picture(tmp_path / "set" / "masks" / "100.png").sum() == 30
    Image.fromarray(np.full((2, 2), 2, np.uint8)).save(tmp_path / "two.png")
    with pytest.raises(ValueError, match="its brightest pixel is 2; a mask holds 0 and 1, or 255"):
        read_label_picture(tmp_path / "two.png")


def test_label_maps_of_pictures_are_pictures(tmp_path):
    made = data(write(tmp_path / "set", heads=2))
    made.setup()
    (tmp_path / "set" / "images" / "more").mkdir()
    Image.new("L", (20, 20)).save(tmp_path / "set" / "images" / "more" / "100.png")
    made.set_predict_input(tmp_path / "set" / "images")
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    writer = SegmentationWriter(tmp_path / "said")
    run = L.Trainer(accelerator="cpu", default_root_dir=tmp_path, callbacks=[writer], **quiet)
    sizes = {name: PLAN[name] for name in ("features", "strides", "kernels")}
    run.predict(module(PlainUNet(2, 1, 2, **sizes), patch_size=[16, 16]), made)
    files = sorted((tmp_path / "said").glob("*.png"))
    assert [file.name for file in files] == [f"{number}.png" for number in range(100, 108)]
    assert np.asarray(Image.open(files[0])).shape == (24, 24)
    assert np.asarray(Image.open(tmp_path / "said" / "more" / "100.png")).shape == (20, 20)
    assert {*writer.there()} == {*files, tmp_path / "said" / "more" / "100.png"}


COLOURS = {"background": [0, 0, 0], "vessel": [255, 0, 0], "lesion": [0, 80, 210]}


def painted(root, colours=COLOURS, kind="png"):
    """The same heads, whose masks hold three classes."""
    write(root, heads=2)
    for file in list((root / "masks").iterdir()):
        labels = np.zeros((24, 24), int)
        labels[4:9, 6:12], labels[12:20, 3:9] = 1, 2
        file.unlink()
        Image.fromarray(np.array([*colours.values()], np.uint8)[labels]).save(file.with_suffix(f".{kind}"))
    return root


@pytest.mark.parametrize("given", [COLOURS, {name: COLOURS[name] for name in ("vessel", "lesion")}])
def test_colours_are_classes(tmp_path, given):
    made = data(painted(tmp_path / "set"), classes=given)
    made.setup()
    assert made.class_names == ("background", "vessel", "lesion")
    assert made.num_classes == 3
    assert made.state_dict()["classes"] == ["background", "vessel", "lesion"]
    case = made._items["val"][0]
    assert np.bincount(case.truth.ravel()).tolist() == [576 - 30 - 48, 30, 48]
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    run = L.Trainer(accelerator="cpu", max_epochs=1, limit_train_batches=2, default_root_dir=tmp_path, **quiet)
    sizes = {name: PLAN[name] for name in ("features", "strides", "kernels")}
    run.fit(module(PlainUNet(2, 1, 3, **sizes), patch_size=[16, 16], num_classes=3), made)
    other = data(painted(tmp_path / "turned", {name: COLOURS[name] for name in ("background", "lesion", "vessel")}),
                 classes={"lesion": COLOURS["lesion"], "vessel": COLOURS["vessel"]})  # fmt: skip
    other.use_classes(made.class_names)
    other.setup()
    truth = other._items["val"][0].mask
    assert np.bincount(truth.ravel()).tolist() == [576 - 30 - 48, 48, 30], "by name, not by place"


def test_label_values_may_be_of_several_classes(tmp_path):
    made = data(painted(tmp_path, {"a": [0] * 3, "b": [1] * 3, "c": [2] * 3}), classes=["none", "vessel", "lesion"])
    made.setup()
    assert np.bincount(made._items["val"][0].truth.ravel()).tolist() == [576 - 30 - 48, 30, 48]


def test_several_colours_are_not_one_foreground(tmp_path):
    painted(tmp_path)
    with pytest.raises(ValueError, match=r"masks/1\d\d.png: holds 3 colours, such as .*datamodule.classes="):
        data(tmp_path).setup()
    with pytest.raises(ValueError, match=r"48 pixels have colours of no class, such as \[0, 80, 210\]"):
        data(tmp_path, classes={"vessel": [255, 0, 0]}).setup()


def test_pictures_and_masks_that_do_not_meet_are_told(tmp_path, caplog):
    write(tmp_path, heads=2)
    (tmp_path / "masks" / "100.png").rename(tmp_path / "masks" / "100_mask.png")
    (tmp_path / "images" / "._101.png").write_bytes(b"left by a Mac")
    (tmp_path / "images" / "read.me").write_text("?")
    read_pictures(tmp_path)
    assert "1 pictures of 8 have no mask of the same name, and are not trained on: 100" in caplog.text
    assert "1 masks have no picture of the same name: 100_mask" in caplog.text
    assert "1 files of 9 are no images and are left out: read.me" in caplog.text
    Image.new("L", (24, 24)).save(tmp_path / "images" / "101.bmp")
    with pytest.raises(ValueError, match="two pictures are called 101; rename or remove one"):
        read_pictures(tmp_path)


def test_pictures_in_folders_below_are_predicted_on(tmp_path):
    for place in ("one", "two", "__MACOSX"):
        (tmp_path / place).mkdir()
        Image.new("L", (24, 24)).save(tmp_path / place / "scan.png")
    assert [case.id for case in find_images(tmp_path, 1)] == ["one/scan", "two/scan"]


def test_wrong_pictures_are_told(tmp_path):
    write(tmp_path, heads=2)
    with pytest.raises(ValueError, match="2 patients are too few for 5 folds"):
        data(tmp_path, folds=5).setup()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "masks" / "100.png")
    with pytest.raises(ValueError, match=r"100.png: \(9, 9\) pixels, but 100.png has \(24, 24\)"):
        data(tmp_path).setup()
    (tmp_path / "images" / "100.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"100.png could not be read as a picture"):
        read_picture(tmp_path / "images" / "100.png")
    for file in (tmp_path / "masks").iterdir():
        file.unlink()
    with pytest.raises(FileNotFoundError, match="no picture in images/ has a mask"):
        data(tmp_path).setup()


@pytest.mark.skipif(not CT_ICH.is_dir(), reason="no slices of CT-ICH; name a folder with MEDZOO_REAL_DATA")
def test_real_slices_of_one_head_stay_together():
    groups = alike(read_pictures(CT_ICH).train, CT_ICH)
    assert len(groups) == 36
    heads = [(10185, 10187), (10187, 10198), (10198, 10199), (10199, 10208), (10208, 10210), (10210, 10225)]
    whose = [{groups[name] for name in groups if first <= int(name) < last} for first, last in heads]
    assert all(len(found) == 1 for found in whose), "no head is split"
    assert [found.pop() for found in whose] == ["10185"] * 3 + ["10199"] * 2 + ["10210"], "some are one"
    assert sum(read_label_picture(case.mask).any() for case in read_pictures(CT_ICH).train) == 36


@pytest.mark.skipif(not MSD.is_dir(), reason="no slices of MSD liver; name a folder with MEDZOO_REAL_DATA")
def test_real_slices_of_the_liver_are_not_guessed(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"names such as flipped_10001_81 seem to contain .* set 'datamodule.patient=\"\(\.\*\)_\\d\+\"'",
    ):
        data(MSD).setup()
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        order = sorted((MSD / name).iterdir(), key=lambda file: [int(part) for part in file.stem.split("_")[1:]])
        for number, file in enumerate(order):
            (tmp_path / name / f"{number + 100}.jpg").symlink_to(file)
    with pytest.raises(ValueError, match="cannot be told apart by likeness to the slice before: of 175 slices"):
        data(tmp_path).setup()


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (130, r"of 16 slices \d+ are neither like nor unlike, such as 1\d\d \(0\.[34]"),
        (190, "16 are unlike; set datamodule.patient"),
    ],
)
def test_slices_that_are_neither_like_nor_unlike_are_asked_for(tmp_path, noise, said):
    write(tmp_path, heads=4, noise=noise)  # slices of a head correlate by half, or less
    with pytest.raises(ValueError, match=said):
        data(tmp_path).setup()


def test_how_many_patients_were_found_is_said(tmp_path, caplog):
    data(write(tmp_path, heads=4)).setup()
    assert "by likeness, 4 patients are told apart in 16 slices, some of which may be several; set" in caplog.text


def test_names_that_say_whose_a_slice_is_are_asked_for(tmp_path, caplog):
    write(tmp_path, heads=4)
    for folder in ("images", "masks"):
        for file in list((tmp_path / folder).iterdir()):
            number = int(file.stem)
            file.rename(file.with_name(f"head{(number - 100) // 4}-{number % 4}.png"))
    with pytest.raises(ValueError, match=r"names such as head0-0 .* set 'datamodule.patient=\"\(\.\*\)-\\d\+\"'"):
        data(tmp_path).setup()
    data(tmp_path, patient="(.*)").setup()
    assert r"every picture counts as a patient of its own; if names such as head0-0" in caplog.text
    caplog.clear()
    data(tmp_path, patient=r"(.*)-\d+").setup()
    assert not caplog.records
    for number, name in enumerate(["anna", "bert", "carl"]):
        Image.fromarray(np.full((24, 24), number, np.uint8)).save(tmp_path / "images" / f"{name}.png")
    other = {"patient": None}
    (tmp_path / "patients.csv").write_text("case,patient\nhead0-0.png,h0\n")
    with pytest.raises(ValueError, match="no row for head0-1, head0-2, head0-3, head1-0, head1-1, "):
        data(tmp_path, **other).setup()
    names = [file.stem for file in (tmp_path / "images").iterdir()]
    (tmp_path / "patients.csv").write_text("case,patient\n" + "".join(f"{name},{name[:5]}\n" for name in names))
    made = data(tmp_path, **other)
    made.setup()
    heads = {name: {case[:5] for case in cases} for name, cases in made.split.items()}
    assert not heads["train"] & heads["val"]
    assert heads["train"] | heads["val"] == {"head0", "head1", "head2", "head3"}


def test_names_without_an_order_are_asked_for(tmp_path):
    write(tmp_path, heads=2)
    for folder in ("images", "masks"):
        for number, file in enumerate(sorted((tmp_path / folder).iterdir())):
            file.rename(file.with_name(f"{'abcdefgh'[number] * 3}.png"))
    with pytest.raises(ValueError, match="names such as aaa give no order"):
        data(tmp_path).setup()
