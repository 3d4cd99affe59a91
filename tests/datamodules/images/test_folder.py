"""Class folders and tables of images, split by patient."""

import csv

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medzoo.datamodules import ImageFolderDataModule
from medzoo.datamodules.io import write_table
from tests.datamodules.io.dicom_series import slice_of, write_ct


def picture(file, level, size=(12, 10)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, level, np.uint8)).save(file)


def classes(root, patients=20, views=2):
    """Patients with several views; the brighter class is `ill`."""
    for number in range(patients):
        name = ("ill", "well")[number % 2]
        for view in range(views):
            picture(root / name / f"p{number:02d}_{view}.png", 200 + number if number % 2 == 0 else 50 + number)
    return root


def made(root, **options):
    data = ImageFolderDataModule(root, **{"image_size": [8, 8], "batch_size": 4, **options})
    data.prepare_data()
    data.setup()
    return data


def patients(ids):
    return {name.rpartition("/")[2][:3] for name in ids}


def test_class_folders_are_split_by_patient_with_both_classes_in_each(tmp_path):
    data = made(classes(tmp_path), patient=r"(.*)_\d+")
    assert data.class_names == ["ill", "well"]
    assert data.task == "binary"
    split = {name: patients(ids) for name, ids in data.split.items()}
    assert sum(map(len, split.values())) == 20, "nobody stands in two"
    assert sum(map(len, data.split.values())) == 40
    assert [len(split[name]) for name in ("train", "val", "test")] == [14, 2, 4]
    batch = next(iter(data.test_dataloader()))
    assert batch["image"].shape == (4, 1, 8, 8)
    assert all(
        (name.startswith("well")) == bool(label) for name, label in zip(batch["id"], batch["label"], strict=True)
    )
    assert batch["id"][0].endswith(".png"), "predictions keep the file's path"


def test_order_of_classes_can_be_given(tmp_path):
    data = made(classes(tmp_path), class_names=["well", "ill"])
    batch = next(iter(data.test_dataloader()))
    assert all((name.startswith("ill")) == bool(label) for name, label in zip(batch["id"], batch["label"], strict=True))


@pytest.mark.parametrize("val", ["val", "valid", None])
def test_a_split_in_folders_is_taken_and_validation_drawn_where_there_is_none(tmp_path, val):
    for split in filter(None, ("train", val, "test")):
        for number in range(20):
            picture(tmp_path / split / ("a", "b")[number % 2] / f"{split}{number:02d}.png", number * 9)
    data = made(tmp_path)
    counts = {name: len(ids) for name, ids in data.split.items()}
    assert counts == ({"train": 20, "val": 20, "test": 20} if val else {"train": 18, "val": 2, "test": 20})
    assert all(name.startswith("test/") for name in data.split["test"])


def test_a_table_names_paths_labels_patients_and_splits(tmp_path):
    rows = []
    for number in range(12):
        picture(tmp_path / "pictures" / f"{number}.png", 20 * number)
        split = ("train", "val", "test")[number % 3]
        kind = "ab"[number // 3 % 2]
        rows.append({"path": f"pictures/{number}.png", "kind": kind, "who": number, "part": split})
    with (tmp_path / "images.csv").open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    data = made(tmp_path, table="images.csv", label="kind", patient="who", split="part")
    assert {name: len(ids) for name, ids in data.split.items()} == {"train": 4, "val": 4, "test": 4}
    assert data.split["val"] == [f"pictures/{number}.png" for number in (1, 4, 7, 10)]


def test_several_labels_are_columns(tmp_path):
    lines = ["path,wet,cold,split"]
    for number in range(12):
        picture(tmp_path / f"{number}.png", 20 * number)
        lines.append(f"{number}.png,{number // 3 % 2},{number // 6},{('train', 'val', 'test')[number % 3]}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    data = made(tmp_path, table="t.csv", label=["wet", "cold"])
    assert (data.task, data.class_names, data.num_classes) == ("multilabel", ["wet", "cold"], 2)
    assert next(iter(data.val_dataloader()))["label"].tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ({"kind": "NA"}, "line 2 .*kind is missing"),
        ({"who": ""}, "line 2 .*who is missing"),
        ({"wet": "yes", "label": ["wet"]}, "line 2 .*wet is 'yes'; expected 0 or 1"),
    ],
)
def test_a_cell_that_says_nothing_is_told_with_its_line(tmp_path, cell, said):
    options = {"label": cell.pop("label", "kind")}
    rows = []
    for number in range(12):
        picture(tmp_path / f"{number}.png", 20 * number)
        rows.append({"path": f"{number}.png", "kind": "ab"[number % 2], "who": number, "wet": number % 2})
    rows[0] |= cell
    write_table(tmp_path / "t.csv", [*rows[0]], rows)
    with pytest.raises(ValueError, match=said):
        made(tmp_path, table="t.csv", patient="who", **options)


def test_volumes_of_any_size_are_windowed_and_brought_to_one(tmp_path):
    for number in range(20):
        folder = tmp_path / ("a", "b")[number % 2]
        folder.mkdir(exist_ok=True)
        array = np.full((9 + number % 3, 10, 11), 100.0 * (number % 2), np.float32)
        nib.save(nib.Nifti1Image(array, np.eye(4)), folder / f"{number:02d}.nii.gz")
    data = made(tmp_path, image_size=[8, 8, 8], window=[-100, 100], mean=0.0, std=1.0)
    batch = next(iter(data.test_dataloader()))
    assert batch["image"].shape[1:] == (1, 8, 8, 8)
    for image, label in zip(batch["image"], batch["label"], strict=True):
        assert image.mean().item() == pytest.approx((0.5, 1.0)[label], abs=0.01)


def test_a_prediction_needs_no_training_folder_and_walks_subfolders(tmp_path):
    data = made(classes(tmp_path / "train"))
    fresh = ImageFolderDataModule(tmp_path / "nowhere", image_size=[8, 8])
    fresh.load_state_dict(data.state_dict())
    assert fresh.class_names == ["ill", "well"]
    picture(tmp_path / "new" / "deep" / "x.png", 7)
    picture(tmp_path / "new" / "x.png", 9)
    fresh.set_predict_input(tmp_path / "new")
    fresh.prepare_data()
    assert [name for batch in fresh.predict_dataloader() for name in batch["id"]] == ["deep/x.png", "x.png"]


def test_another_hospital_is_tested_whole(tmp_path):
    data = made(classes(tmp_path / "here"), patient=r"(.*)_\d+")
    other = ImageFolderDataModule(classes(tmp_path / "there", patients=26), image_size=[8, 8], patient=r"(.*)_\d+")
    for file in (tmp_path / "there").rglob("*.png"):
        picture(file, 255 - int(file.stem[1:3]), (11, 11))
    other.evaluate_as(data.seen)
    other.setup("test")
    assert len(other.split["test"]) == 52
    assert not other.split["train"]


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda root: picture(root / "loose.png", 1), {}, "is not in a class folder"),
        (lambda root: None, {"class_names": ["ill", "odd"]}, "class 'well'"),
        (lambda root: None, {"patient": "x(.*)"}, "does not match"),
        (lambda root: (root / "ill" / "p00_0.png").write_bytes(b"cut"), {}, "p00_0.png"),
        (lambda root: None, {"table": "images.csv"}, "no file .*images.csv"),
        (lambda root: None, {"image_size": [4, 4]}, "image_size"),
        (lambda root: None, {"window": [3, 2]}, "window"),
        (lambda root: None, {"val_share": 0.6, "test_share": 0.5}, "no share for training"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(tmp_path, change, options, said):
    classes(tmp_path)
    change(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=said) as caught:
        made(tmp_path, **options)
    assert "\n" not in str(caught.value)


def test_a_patient_in_two_splits_is_an_error(tmp_path):
    for split in ("train", "val", "test"):
        for number in range(4):
            picture(tmp_path / split / ("a", "b")[number % 2] / f"p{number}_{split}.png", 9 * number + len(split))
    with pytest.raises(ValueError, match="patient p0 is in"):
        made(tmp_path, patient=r"(p\d).*")


def test_images_of_one_name_in_two_classes_or_splits_are_of_two_patients(tmp_path):
    for split in ("train", "val", "test"):
        for number in range(8):
            picture(tmp_path / split / "ab"[number % 2] / f"{number // 2}.png", 10 * number)
    assert {name: len(ids) for name, ids in made(tmp_path).split.items()} == {"train": 8, "val": 8, "test": 8}


def test_dicom_is_a_volume_by_folder_or_a_picture_by_file(tmp_path):
    for number in range(20):
        write_ct(tmp_path / ("a", "b")[number % 2] / f"p{number:02d}.1")
    options = {"window": [-1024, 1896], "mean": 0.0, "std": 1.0}  # of what is written
    data = made(tmp_path, image_size=[8, 8, 8], patient="(.*)", **options)
    batch = next(iter(data.test_dataloader()))
    assert batch["image"].shape[1:] == (1, 8, 8, 8)
    assert batch["image"].max() > 0.9
    assert patients(name for ids in data.split.values() for name in ids) == {f"p{number:02d}" for number in range(20)}
    fresh = ImageFolderDataModule(tmp_path / "nowhere", image_size=[8, 8, 8], **options)
    fresh.load_state_dict(data.state_dict())
    fresh.set_predict_input(tmp_path / "a")
    assert next(name for batch in fresh.predict_dataloader() for name in batch["id"]) == "p00.1"
    pictures = made(tmp_path, image_size=[8, 8], patient=r"(.*)/.*", **options)
    assert sum(map(len, pictures.split.values())) == 80
    slice_of(0).save_as(tmp_path / "a" / "x.dcm", enforce_file_format=True)
    with pytest.raises(ValueError, match=r"a: is not in a class folder; move it \(of DICOM volumes, each has a folder"):
        made(tmp_path, image_size=[8, 8, 8])
