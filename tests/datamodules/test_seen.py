"""Data that a checkpoint is tested on: who was seen in its training, and classes and inputs in another order."""

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from medzoo.datamodules import FollowupDataModule, PatientFoldersDataModule
from medzoo.datamodules.phantoms.head import write_head_cohort
from medzoo.datamodules.seen import Seen, mark_file, matched
from tests.datamodules.fetal_heart import test_fetal_heart as hearts
from tests.datamodules.hematoma import test_cohort as heads
from tests.datamodules.images import test_npz as npz
from tests.datamodules.liver import test_cohort as liver
from tests.datamodules.segmentation import test_datamodule as volumes
from tests.datamodules.segmentation import test_pictures as pictures
from tests.datamodules.unlabelled import test_unlabelled as pieces

phantom, cohort = liver.phantom, liver.cohort


def ready(data):
    data.prepare_data()
    data.setup()
    return data


def meet(data, trained, tmp_path):
    """As `evaluate.py` does it, with what came out of a checkpoint."""
    torch.save({"seen": trained.seen, "state": trained.state_dict()}, tmp_path / "known.ckpt")
    known = torch.load(tmp_path / "known.ckpt", weights_only=True)
    data.load_state_dict(known["state"])
    data.evaluate_as(known["seen"])
    data.use_classes(trained.class_names)
    data.prepare_data()
    data.setup("test")
    return data


def labels(data):
    return {
        name: int(label)
        for batch in data.test_dataloader()
        for name, label in zip(batch["id"], batch["label"], strict=True)
    }


@pytest.mark.parametrize(
    ("data", "model", "order"),
    [
        (["b", "a"], ["a", "b"], [1, 0]),
        (["a", "b", "c"], ["c", "a", "b"], [1, 2, 0]),
        (["HCC ", "no tumour"], ["No-Tumour", "hcc"], [1, 0]),
        (["a", "A"], ["A", "a"], [1, 0]),
        (["her2-", "her2+"], ["HER2+", "HER2-"], [1, 0]),
    ],
)
def test_names_are_matched_whatever_their_order_case_and_spacing(data, model, order):
    assert matched(data, model, "classes") == order


@pytest.mark.parametrize("data", [["a"], ["a", "c"], ["a", "b", "c"], ["a", "a"], ["-1", "0"]])
def test_other_names_are_refused_in_a_line_that_lists_both(data):
    model = ["1", "0"] if data[0] == "-1" else ["a", "b"]
    with pytest.raises(
        ValueError, match=f"knows the classes {', '.join(model)}, the data have {', '.join(data)}: give"
    ):
        matched(data, model, "classes")


def test_marks_tell_files_apart_by_either_end_and_say_no_names(tmp_path):
    blank = bytearray(3 << 20)
    for number, place in enumerate((0, len(blank) - 1, None)):
        content = bytearray(blank)
        if place is not None:
            content[place] = 1
        (tmp_path / str(number)).write_bytes(content)
    assert len({mark_file(tmp_path / str(number)) for number in range(3)}) == 3
    state = Seen.of({"Anna": [1, 2], "Bert": [3]}, {"train": ["Anna"]}).state()
    assert (state["train"].tolist(), state["unused"].tolist(), state["patients"]) == ([1, 2], [3], 2)
    assert "Anna" not in json.dumps({name: str(value) for name, value in state.items()})


def test_pieces_of_other_images_are_all_for_the_test(tmp_path):
    trained = ready(pieces.data(pieces.cohort(tmp_path / "own")))

    def meet_pieces(root):
        data = pieces.data(root)
        data.evaluate_as(trained.seen)
        return ready(data)

    again = meet_pieces(tmp_path / "own")
    assert again.split == {"test": trained.split["test"]}
    for ours, theirs in zip(again._items["test"], trained._items["test"], strict=True):
        assert np.array_equal(ours.array, theirs.array)
    pieces.cohort(tmp_path / "other", patients=7)
    for number in range(6):
        pieces.volume(tmp_path / "other" / f"p{number}" / "ct.nii.gz", np.full((8, 20, 24), 100 + number))
    assert len(meet_pieces(tmp_path / "other").split["test"]) == 7


# --------------------------------------------------------------------------------------------------------------- images


def test_labels_of_an_npz_mean_the_classes_of_the_model(tmp_path):
    file = npz.write(tmp_path / "x.npz", labels=np.array([0, 1, 2, 0, 1, 2]))
    options = {"task": "multiclass"}
    trained = ready(npz.datamodule(file, class_names=["a", "b", "c"], **options))
    arrays = dict(np.load(file))
    turned = npz.write(
        tmp_path / "y.npz",
        **{**arrays, **{f"{s}_labels": (arrays[f"{s}_labels"] + 1) % 3 for s in ("train", "val", "test")}},
    )
    other = meet(npz.datamodule(turned, class_names=["C", "a", "b"], **options), trained, tmp_path)
    assert labels(other) == labels(trained)
    assert other.class_names == ["a", "b", "c"], "columns are named as the model names them"
    with pytest.raises(ValueError, match="knows the classes a, b, c, the data have a, b, d"):
        meet(npz.datamodule(turned, class_names=["a", "b", "d"], **options), trained, tmp_path)


def test_columns_of_several_labels_are_moved(tmp_path):
    rows = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 1]])
    trained = ready(
        npz.datamodule(npz.write(tmp_path / "x.npz", labels=rows), task="multilabel", class_names=["a", "b", "c"])
    )
    turned = npz.write(tmp_path / "y.npz", labels=rows[:, [2, 0, 1]])
    other = meet(npz.datamodule(turned, task="multilabel", class_names=["c", "a", "b"]), trained, tmp_path)
    assert torch.equal(other._data["test"]["labels"], trained._data["test"]["labels"])


def test_another_npz_is_tested_on_its_test_images_but_for_those_of_the_training(tmp_path, caplog):
    file = npz.write(tmp_path / "x.npz")
    trained = ready(npz.datamodule(file))
    assert len(labels(meet(npz.datamodule(shutil.copy(file, tmp_path / "copy.npz")), trained, tmp_path))) == 6
    assert not caplog.records
    arrays = dict(np.load(file))
    mixed = np.concatenate([arrays["train_images"][:2], arrays["test_images"][2:] ^ 1])
    other = npz.write(tmp_path / "y.npz", test_images=mixed)
    assert list(labels(meet(npz.datamodule(other), trained, tmp_path))) == [f"test_{n:05d}" for n in range(2, 6)]
    assert "tested are 4 of its test images (not train and val); 2 stood in the training" in caplog.text
    with pytest.raises(ValueError, match="trained on all of its test images"):
        meet(npz.datamodule(npz.write(tmp_path / "z.npz", test_images=arrays["train_images"])), trained, tmp_path)


def test_hearts_of_another_hospital_are_all_meet(tmp_path, caplog):
    hearts.PHANTOM.write(tmp_path / "own")
    trained = hearts.ready(tmp_path / "own")
    again = meet(hearts.module(tmp_path / "own"), trained, tmp_path)
    assert again.split == trained.split
    hearts.FetalHeartPhantom(20, 12, views=2, size=64, seed=7).write(tmp_path / "other")
    with caplog.at_level(logging.INFO):
        other = meet(hearts.module(tmp_path / "other", predictors=[*trained.predictors[::-1]]), trained, tmp_path)
    assert {name: len(ids) for name, ids in other.split.items()} == {"train": 0, "val": 0, "test": 64}
    assert "no patient of it was seen in training, so all 32 are tested" in caplog.text
    assert "32 of its patients have names of the training data, but other files" in caplog.text
    assert other.predictors == trained.predictors
    assert len(other.cases("test").names) == 32
    with pytest.raises(ValueError, match=r"knows the predictors .*, the data have LV_diameter"):
        meet(hearts.module(tmp_path / "other", predictors=["LV_diameter"]), trained, tmp_path)


def test_hearts_that_cannot_be_scored_are_told(tmp_path):
    hearts.PHANTOM.write(tmp_path / "own")
    trained = hearts.ready(tmp_path / "own")
    hearts.FetalHeartPhantom(20, 12, views=2, size=64, seed=7).write(tmp_path / "other")
    hearts.rewrite(tmp_path / "other" / "cases.csv", lambda rows: [{**row, "label": 0} for row in rows])
    with pytest.raises(ValueError, match="32 normal and 0 HLHS cases; a test needs both"):
        meet(hearts.module(tmp_path / "other"), trained, tmp_path)


def test_of_a_mixture_those_of_the_training_are_left_out(tmp_path, caplog):
    hearts.PHANTOM.write(tmp_path / "own")
    trained = hearts.ready(tmp_path / "own")
    hearts.FetalHeartPhantom(20, 12, views=2, size=64, seed=7).write(tmp_path / "mixed")
    for case in ("H0000", "H0001", "H0002"):
        for file in (tmp_path / "own" / "images").glob(f"{case}_*"):
            shutil.copy(file, tmp_path / "mixed" / "images" / file.name)
    where = {name.split("_")[0]: split for split, ids in trained.split.items() for name in ids}
    kept = [case for case in ("H0000", "H0001", "H0002") if where[case] == "test"]
    other = meet(hearts.module(tmp_path / "mixed"), trained, tmp_path)
    assert {name.split("_")[0] for name in other.split["test"]} == {
        *kept, *(f"H{n:04d}" for n in range(3, 32))
    }  # fmt: skip
    assert (
        f"{29} patients whom the training never saw and {len(kept)} whom it held out; {3 - len(kept)} whom"
        in caplog.text
    )


def test_another_split_of_the_same_data_tests_nobody_of_the_training(tmp_path):
    hearts.PHANTOM.write(tmp_path / "own")
    trained = hearts.ready(tmp_path / "own")
    other = meet(hearts.module(tmp_path / "own", split_seed=3), trained, tmp_path)
    assert other.split["test"]
    assert not {*other.split["test"]} & {*trained.split["train"], *trained.split["val"]}


# -------------------------------------------------------------------------------------------------------------- volumes


def test_all_pictures_of_another_folder_are_meet(tmp_path):
    trained = ready(pictures.data(pictures.write(tmp_path / "own", heads=4)))
    assert meet(pictures.data(tmp_path / "own"), trained, tmp_path).split == trained.split
    other = pictures.write(tmp_path / "other", heads=1, first=500)
    for file in (other / "images").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    data = meet(pictures.data(other), trained, tmp_path)
    assert data.split == {"train": [], "val": [], "test": ["500", "501", "502", "503"]}, (
        "too few for folds, and no matter"
    )


def test_another_fold_than_that_of_the_training_is_refused(tmp_path):
    trained = ready(volumes.module(volumes.write_dataset(tmp_path / "own", [f"p{n}_baseline" for n in range(6)])))
    with pytest.raises(ValueError, match="trained on all patients that could be tested"):
        meet(volumes.module(tmp_path / "own", fold=1), trained, tmp_path)


def test_label_values_and_channels_are_matched_by_name(tmp_path):
    names = [f"p{number}_baseline" for number in range(6)]
    said = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "liver": 1, "tumour": 2}}

    def write(root, said, labels, channels, base):
        for number, name in enumerate(names):
            rng = np.random.default_rng(number + base)
            mask = np.zeros((10, 12, 6), np.uint8)
            mask[2:5, 3:7, 1:4], mask[6:8, 3:7, 1:4] = labels
            volumes.save(root / "labelsTr" / f"{name}.nii.gz", mask)
            images = [(rng.normal(level, 5, mask.shape) + 30 * (mask > 0)).astype(np.float32) for level in (40, 400)]
            for channel, image in zip(channels, images, strict=True):
                volumes.save(root / "imagesTr" / f"{name}_000{channel}.nii.gz", image)
        (root / "dataset.json").write_text(json.dumps(said))
        return root

    trained = ready(volumes.module(write(tmp_path / "own", said, (1, 2), (0, 1), 0)))
    turned = {"channel_names": {"0": "t2", "1": "t1"}, "labels": {"background": 0, "Tumour": 1, "Liver": 2}}
    straight = meet(volumes.module(write(tmp_path / "a", said, (1, 2), (0, 1), 50)), trained, tmp_path)
    other = meet(volumes.module(write(tmp_path / "b", turned, (2, 1), (1, 0), 50)), trained, tmp_path)
    assert len(other.split["test"]) == 6
    for one, two in zip(straight.test_dataloader(), other.test_dataloader(), strict=True):
        assert torch.equal(one["image"], two["image"])
        assert torch.equal(one["mask"], two["mask"])
    assert other.class_names == ("background", "liver", "tumour")
    fewer = {**said, "labels": {"background": 0, "liver": 1, "vessel": 2}}
    with pytest.raises(ValueError, match="background, liver, tumour, the data have background, liver, vessel"):
        meet(volumes.module(write(tmp_path / "c", fewer, (1, 2), (0, 1), 50)), trained, tmp_path)
    strange = {**said, "channel_names": {"0": "T1", "1": "FLAIR"}}
    with pytest.raises(ValueError, match="knows the channels T1, T2, the data have T1, FLAIR"):
        meet(volumes.module(write(tmp_path / "d", strange, (1, 2), (0, 1), 50)), trained, tmp_path)


def test_statistics_of_the_training_are_kept(tmp_path):
    trained = ready(volumes.module(volumes.write_dataset(tmp_path / "own", [f"p{n}_baseline" for n in range(6)])))
    other = volumes.write_dataset(tmp_path / "other", [f"q{n}_baseline" for n in range(2)])
    for file in (other / "imagesTr").iterdir():
        volumes.save(file, np.full((10, 12, 6), 250, np.float32))
    data = meet(volumes.module(other), trained, tmp_path)
    assert data.state_dict()["intensities"] == trained.state_dict()["intensities"]


def test_folders_of_another_hospital_are_tested_whoever_the_fold_holds(tmp_path):
    def write(root, names):
        volumes.write_dataset(root / "raw", names)
        for name in names:
            for kind, file in (("ct", f"imagesTr/{name}_0000"), ("liver", f"labelsTr/{name}")):
                (root / "all" / name).mkdir(parents=True, exist_ok=True)
                shutil.copy(root / "raw" / f"{file}.nii.gz", root / "all" / name / f"{kind}.nii.gz")
        rows = "".join(f"{name},{'AB'[number % 2]}\n" for number, name in enumerate(names))
        (root / "all" / "patients.csv").write_text("id,scanner\n" + rows)
        return root / "all"

    def folders(root, **options):
        kept = {"plan": volumes.PLAN, "folds": 3, "batches": 2, "classes": ["background", "liver"]}
        return PatientFoldersDataModule(root, images=["ct"], mask="liver", **{**kept, **options})

    trained = ready(folders(write(tmp_path / "own", [f"p{number}" for number in range(6)])))
    other = write(tmp_path / "other", ["q0", "q1"])
    for number, name in enumerate(("q0", "q1")):
        volumes.save(other / name / "ct.nii.gz", np.random.default_rng(number).normal(40, 5, (10, 12, 6)))
    assert meet(folders(other), trained, tmp_path).split["test"] == ["q0", "q1"]
    assert meet(folders(other, test_where={"scanner": "B"}), trained, tmp_path).split["test"] == ["q1"]
    with pytest.raises(ValueError, match="nobody of test_where="):
        meet(folders(other, test_where={"scanner": "C"}), trained, tmp_path)


def test_a_cohort_with_other_hospitals_is_tested_whole(tmp_path):
    heads.cohort(tmp_path / "cohort")
    trained = {"scans": ready(heads.scans(tmp_path)), "slices": ready(heads.cut(tmp_path))}
    assert meet(heads.scans(tmp_path), trained["scans"], tmp_path).split == trained["scans"].split
    assert meet(heads.cut(tmp_path), trained["slices"], tmp_path).split == trained["slices"].split
    other = tmp_path / "elsewhere" / "cohort"
    for number in range(4):
        for time, voxels in (("baseline", 390), ("followup", 390 * (1 + number % 2))):
            heads.scan(other / "Z" / f"Z{number}" / time, voxels + number)
    found = meet(heads.scans(tmp_path / "elsewhere"), trained["scans"], tmp_path).split
    assert (len(found["test"]), found["train"], found["val"]) == (8, [], [])
    found = meet(heads.cut(tmp_path / "elsewhere"), trained["slices"], tmp_path).split
    assert {name.split("_")[0] for name in found["test"]} == {"Z0", "Z1", "Z2", "Z3"}
    assert not found["train"]
    assert not found["val"]


def test_follow_ups_of_other_hospitals_are_tested_whole(tmp_path):
    scans = {"image_size": 48, "spacing_mm": 4.0, "slices": 12}
    options = {"val_hospitals": ["B"], "test_hospitals": ["C"], "image_size": 48}
    write_head_cohort(tmp_path / "own", patients={"A": 8, "B": 2, "C": 3}, seed=1, **scans)
    write_head_cohort(tmp_path / "other", patients={"Z": 8}, seed=2, **scans)
    trained = ready(FollowupDataModule(tmp_path / "own", **options))
    data = meet(FollowupDataModule(tmp_path / "other", **options), trained, tmp_path)
    assert [len(data.split[name]) for name in ("train", "val", "test")] == [0, 0, 8]


# ---------------------------------------------------------------------------------------------------------------- liver


def test_columns_and_classes_of_a_liver_cohort_are_matched_by_name(cohort, tmp_path):
    trained = liver.ready(cohort)
    turned = dict(reversed(liver.CLINICAL.items()))
    options = {**liver.OPTIONS, "clinical": turned, "class_names": ["HCC", "benign"]}
    root = shutil.copytree(cohort, tmp_path / "turned")
    liver.edit(root, lambda _, row: row.update(hcc=str(1 - int(row["hcc"])) if row["hcc"] else ""))
    other = meet(liver.LiverCohortDataModule(root, **options), trained, tmp_path)
    assert other.split == trained.split
    assert other.class_names == ["benign", "hcc"]
    ours, theirs = (liver.everything(data.test_dataloader()) for data in (trained, other))
    for key in ("clinical", "label", "genomics"):
        assert torch.equal(ours[key], theirs[key]), key


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clinical": {**liver.CLINICAL, "sex": {"F": 1, "M": 0}}}, "clinical.sex means something else .*'F': 0.0"),
        ({"logarithm": []}, "afp_ng_ml means something else .* and its logarithm is taken"),
        (
            {"use": ["clinical", "ct"]},
            "knows the modalities ct, mr, histology, clinical, genomics, the data have ct, cl",
        ),
        ({"clinical": {"age_years": [18, 100]}, "logarithm": []}, "knows the clinical columns age_years, sex,"),
        ({"class_names": ["no", "yes"]}, "knows the classes benign, hcc, the data have no, yes"),
    ],
)
def test_other_inputs_of_a_liver_cohort_are_refused(cohort, tmp_path, options, said):
    trained = liver.ready(cohort)
    with pytest.raises(ValueError, match=said):
        meet(liver.LiverCohortDataModule(cohort, **{**liver.OPTIONS, **options}), trained, tmp_path)


def test_another_liver_cohort_is_tested_whole_on_scales_of_the_training(cohort, tmp_path):
    trained = liver.ready(cohort)
    assert meet(liver.LiverCohortDataModule(cohort, **liver.OPTIONS), trained, tmp_path).split == trained.split
    made = liver.LiverPhantom(patients=12, size=liver.SIZE, tiles=3, tile_size=24, seed=5)
    made.write(tmp_path / "other")
    data = meet(liver.LiverCohortDataModule(tmp_path / "other", **liver.OPTIONS), trained, tmp_path)
    assert len(data.split["test"]) == 12
    assert data.state_dict()["clinical"] == trained.state_dict()["clinical"]
