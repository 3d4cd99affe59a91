import json

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from medzoo.datamodules import HeadPhantom, HeadPictures, HeadScans, SegmentationDataModule
from medzoo.datamodules.segmentation.batches import PatchBatches
from medzoo.datamodules.segmentation.cases import (
    Case,
    CaseReading,
    Intensities,
    crop,
    measure,
    prepare_case,
    read_case,
    resample,
)
from medzoo.datamodules.segmentation.files import CaseFiles, find_images, read_dataset
from medzoo.datamodules.segmentation.plan import feature_map_voxels, make_plan, target_spacing, topology
from medzoo.datamodules.store import Store
from medzoo.datamodules.transforms import NNUNetAugment
from tests.datamodules.io.dicom_series import write_ct

AFFINE = np.diag([0.5, 0.5, 5.0, 1.0])
PLAN = {
    "spacing": [5.0, 0.5, 0.5],
    "patch": [4, 8, 8],
    "batch_size": 2,
    "features": [4, 8],
    "strides": [[1, 1, 1], [2, 2, 2]],
    "kernels": [[3, 3, 3]] * 2,
}


def save(file, array, affine=AFFINE):
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), file)


def write_dataset(root, cases, *, labels=None, said=None, numbered="_0000"):
    """CT of random values around 40 with a box of foreground of 70, in files of (x, y, z)."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(cases):
        image = rng.normal(40, 5, (10, 12, 6)).astype(np.float32)
        mask = np.zeros((10, 12, 6), np.uint8)
        mask[2:5, 3:7, 1 : 3 + number % 2] = 1
        image[mask > 0] += 30
        save(root / "imagesTr" / f"{name}{numbered}.nii.gz", image)
        save(root / "labelsTr" / f"{name}.nii.gz", mask)
    default = {"channel_names": {"0": "CT"}, "labels": labels or {"background": 0, "bleed": 1}}
    (root / "dataset.json").write_text(json.dumps(said or default))
    return root


@pytest.mark.parametrize(("median", "patch"), [((28, 450, 450), (16, 320, 320)), ((30, 460, 460), (20, 320, 256))])
def test_head_ct_is_planned_as_nnunet_plans_it(median, patch):
    plan = make_plan([(5, 0.5, 0.5)] * 1000, [median] * 1000, classes=2)
    assert plan.patch == patch
    assert plan.batch_size == 2
    assert plan.features == (32, 64, 128, 256, 320, 320, 320)
    assert plan.strides == ((1, 1, 1), *[(1, 2, 2)] * 3, *[(2, 2, 2)] * 2, (1, 2, 2))
    assert plan.kernels == (*[(1, 3, 3)] * 3, *[(3, 3, 3)] * 4)


def test_a_patch_is_as_large_as_its_memory_allows():
    cases = [(1, 1, 1)] * 50, [(300, 300, 300)] * 50
    small, large = (make_plan(*cases, classes=3, gpu_memory_gb=gb) for gb in (4, 24))
    assert np.prod(small.patch) < np.prod(large.patch)
    for plan, gb in ((small, 4), (large, 24)):
        assert feature_map_voxels(plan.patch, plan.strides, plan.features, 3) <= 560e6 * gb / 8
        assert max(plan.patch) - min(plan.patch) <= 32, "an isotropic image has an isotropic patch"
    few = make_plan([(1, 1)] * 4, [(64, 64)] * 4, classes=2)
    assert few.batch_size == 2, "no batch holds more than a twentieth of the voxels, but two patches it must hold"
    assert few.patch == (64, 64)


def test_thick_slices_are_resampled_to_a_fine_tenth():
    spacings = [(8.0, 0.5, 0.5)] * 8 + [(4.0, 0.5, 0.5)] * 2
    shapes = [(20, 400, 400)] * 10
    assert target_spacing(spacings, shapes) == (4.0, 0.5, 0.5)
    assert target_spacing(spacings, [(200, 400, 400)] * 10) == (8.0, 0.5, 0.5), "many thick slices are kept"
    assert target_spacing([(1.5, 1.0, 1.0)] * 3, [(80, 90, 90)] * 3) == (1.5, 1.0, 1.0)


def test_axes_are_halved_until_four_voxels_are_left():
    strides, kernels, patch = topology([1, 1], [70, 64])
    assert np.prod(strides, axis=0).tolist() == [16, 16]
    assert patch == [80, 64]
    assert len(kernels) == len(strides)


def test_both_layouts_of_nnunet_are_read(tmp_path):
    new = read_dataset(write_dataset(tmp_path / "new", ["b", "a"]))
    assert [case.id for case in new.train] == ["a", "b"]
    assert new.classes == ("background", "bleed")
    old = {"modality": {"0": "CT"}, "labels": {"0": "background", "1": "bleed"}}
    task = read_dataset(write_dataset(tmp_path / "Task04_X", ["a"], said=old, numbered=""))
    assert task.classes == new.classes
    assert task.train[0].images == (tmp_path / "Task04_X" / "imagesTr" / "a.nii.gz",)
    (tmp_path / "new" / "imagesTr" / "._a_0000.nii.gz").write_bytes(b"left by macOS")
    assert len(read_dataset(tmp_path / "new").train) == 2
    assert [case.id for case in find_images(tmp_path / "new" / "imagesTr", 1)] == ["a", "b"]
    assert find_images(tmp_path / "new" / "imagesTr" / "a_0000.nii.gz", 1)[0].id == "a"


def test_what_to_predict_on_is_found_in_subfolders(tmp_path, caplog):
    for name in ("one/scan", "two/scan_0000", "two/scan_0001", "scan"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        save(tmp_path / f"{name}.nii.gz", np.zeros((4, 4, 4), np.float32))
    write_ct(tmp_path / "three" / "head")
    (tmp_path / "one" / "scan.png").write_bytes(b"a preview")
    found = {case.id: case.images for case in find_images(tmp_path, 1)}
    assert found == {
        "scan": (tmp_path / "scan.nii.gz",),
        "one/scan": (tmp_path / "one" / "scan.nii.gz",),
        "three/head": (tmp_path / "three" / "head",),
        "two/scan": (tmp_path / "two" / "scan_0000.nii.gz",),
    }
    assert "2 images are of another kind or channel and left out: one/scan.png, two/scan_0001" in caplog.text
    (two,) = find_images(tmp_path / "two", 2)
    assert (two.id, len(two.images)) == ("scan", 2)
    write_ct(tmp_path / "four" / "one_0000")
    with pytest.raises(ValueError, match=r"one lacks one_0001; there are 2 channels"):
        find_images(tmp_path / "four", 2)
    assert find_images(tmp_path / "three" / "head", 1)[0].id == "head"
    assert [case.id for case in find_images(tmp_path / "three", 1, 2)] == [f"head/1.1_{number}" for number in range(4)]
    save(tmp_path / "one" / "scan.nii", np.zeros((4, 4, 4), np.float32))
    with pytest.raises(ValueError, match=r"scan\.nii and scan\.nii\.gz are both one/scan; remove one"):
        find_images(tmp_path, 1)


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no .*dataset.json: set datamodule.root"):
        read_dataset(tmp_path)
    root = write_dataset(tmp_path / "set", ["a", "b"])
    (root / "labelsTr" / "b.nii.gz").unlink()
    with pytest.raises(ValueError, match="no mask for b"):
        read_dataset(root)
    with pytest.raises(ValueError, match="labels must be background 0"):
        read_dataset(write_dataset(tmp_path / "odd", ["a"], labels={"bleed": 2}))
    two = {"channel_names": {"0": "CT", "1": "CTA"}, "labels": {"background": 0, "bleed": 1}}
    with pytest.raises(ValueError, match=r"a lacks a_0001; there are 2 channels"):
        read_dataset(write_dataset(tmp_path / "two", ["a"], said=two))
    with pytest.raises(FileNotFoundError, match="no images in"):
        find_images(tmp_path / "nothing", 1)


def test_a_case_is_normalised_by_the_foreground_of_training(tmp_path):
    files = read_dataset(write_dataset(tmp_path, ["a", "b"]))
    (said,) = measure(files.train, 2, Store())
    foreground = []
    for case in files.train:
        image, mask = (np.asarray(nib.load(file).dataobj) for file in (case.images[0], case.mask))
        foreground.append(image[mask > 0])
    foreground = np.concatenate(foreground)
    assert said.mean == pytest.approx(foreground.mean(), rel=0.02)
    assert said.low == pytest.approx(np.percentile(foreground, 0.5), rel=0.02)
    case = read_case(files.train[0], 2, (5.0, 0.5, 0.5), [said])
    raw = np.asarray(nib.load(files.train[0].images[0]).dataobj).T
    assert case.image.shape == (1, 6, 12, 10), "z first"
    half_a_level = (said.high - said.low) / 65535 / 2 / said.std
    expected = (np.clip(raw, said.low, said.high) - said.mean) / said.std
    assert np.abs(case.image[0] - expected).max() < 1.1 * half_a_level, "16 bits between the bounds"
    assert case.spacing == pytest.approx((5.0, 0.5, 0.5))


def test_a_case_of_another_spacing_is_resampled_and_keeps_its_truth(tmp_path):
    files = read_dataset(write_dataset(tmp_path, ["a"]))
    case = read_case(files.train[0], 2, (5.0, 1.0, 1.0), [Intensities(0, 100, 0, 1)])
    assert case.image.shape == (1, 6, 6, 5)
    assert case.mask.shape == (6, 6, 5)
    assert case.truth.shape == case.size == (6, 12, 10)
    thick = torch.arange(4.0).view(1, 4, 1, 1).expand(1, 4, 4, 4)
    assert resample(thick, [8, 4, 4], (5, 1, 1)).unique().tolist() == [0, 1, 2, 3], "thick slices are not mixed"
    assert len(resample(thick, [8, 4, 4], (1, 1, 1)).unique()) > 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda image, mask: (image, mask[:-1], AFFINE), r"\(9, 12, 6\) voxels, but a_0000.nii.gz has \(10, 12, 6\)"),
        (lambda image, mask: (image, mask, AFFINE * 2), "lies on another grid"),
        (lambda image, mask: (image, mask + 3, AFFINE), "label 3, 4; expected 0, 1"),
        (lambda image, mask: (image * np.nan, mask, AFFINE), "NaN or infinite"),
    ],
)
def test_a_bad_case_is_told(tmp_path, change, said):
    files = read_dataset(write_dataset(tmp_path, ["a"])).train[0]
    image, mask = (np.asarray(nib.load(file).dataobj) for file in (files.images[0], files.mask))
    image, mask, affine = change(image, mask)
    save(files.images[0], image)
    save(files.mask, mask, affine)
    with pytest.raises(ValueError, match=said):
        read_case(files, 2, (5.0, 0.5, 0.5), [Intensities(0, 1, 0, 1)])


def test_training_needs_foreground(tmp_path):
    files = read_dataset(write_dataset(tmp_path, ["a"]))
    save(files.train[0].mask, np.zeros((10, 12, 6), np.uint8))
    with pytest.raises(ValueError, match="no training mask has a voxel of foreground"):
        measure(files.train, 2, Store())


def case_of(image, mask, spacing, *, name="a", ignore=None, regions=None):
    """A case in memory, of intensities between -10 and 10."""
    how = CaseReading(3, spacing, ((-10.0, 10.0),), ignore=ignore, regions=regions)
    made = prepare_case(image, mask, spacing, how)
    return Case.of(CaseFiles(name, ()), dict(made.arrays), dict(made.facts), [Intensities(-10, 10, 0, 1)])


def cases(count=3, size=(6, 12, 10)):
    made = []
    for number in range(count):
        mask = np.zeros(size, np.uint8)
        mask[1, 2, 3] = 1
        image = np.random.default_rng(number).normal(size=(1, *size)).astype(np.float32)
        made.append(case_of(image, mask, (5.0, 1.0, 1.0), name=str(number)))
    return made


def test_the_last_third_of_a_batch_lies_around_foreground():
    batches = PatchBatches(cases(), (3, 4, 4), batches=40, batch_size=3, foreground=0.34)
    found = torch.stack([batch["mask"].flatten(1).sum(1) for batch in batches]).float()
    assert (found[:, -1] == 1).all()
    assert found[:, :-1].mean() < 0.7, "the others lie anywhere"
    of_two = PatchBatches(cases(), (3, 4, 4), batches=10, batch_size=2)
    assert all(batch["mask"][1].sum() == 1 for batch in of_two), "of two, one"


def test_patches_depend_on_seed_and_epoch_alone():
    def run(**options):
        augment = NNUNetAugment(flip=[0, 1, 2])
        batches = PatchBatches(cases(), (4, 8, 8), batches=4, batch_size=2, augment=augment, **options)
        return batches, [batch["image"] for batch in batches]

    _, first = run(seed=1)
    _, again = run(seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], run(seed=2)[1][0])
    ranks = [run(seed=1, rank=rank, world_size=2)[1] for rank in (0, 1)]
    assert not torch.equal(ranks[0][0], ranks[1][0])


def test_patches_go_on_where_they_were_left():
    def made():
        return PatchBatches(cases(), (4, 8, 8), batches=5, batch_size=2, seed=3)

    whole, left = made(), made()
    expected = [batch["image"] for batch in whole]
    iterator = iter(left)
    next(iterator), next(iterator)
    resumed = made()
    resumed.load_state_dict(left.state_dict())
    rest = [batch["image"] for batch in resumed]
    assert all(torch.equal(a, b) for a, b in zip(expected[2:], rest, strict=True))
    assert resumed.epoch == 1


def test_a_patch_over_the_border_is_filled_with_zeros():
    array = np.arange(1.0, 13).reshape(1, 3, 4)
    assert crop(array, (-1, 2), (3, 4))[0].tolist() == [[0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0]]
    large = PatchBatches(cases(1), (8, 16, 16), batches=3, batch_size=2)
    assert all(batch["mask"].flatten(1).sum(1).tolist() == [1, 1] for batch in large), "small cases are whole"


@pytest.mark.parametrize("patch", [(16, 64, 64), (32, 32, 32), (64, 64)])
def test_augmentation_moves_image_and_mask_together(patch):
    mask = np.zeros(patch, np.uint8)
    mask[tuple(slice(side // 4, side // 2) for side in patch)] = 1
    image, augment = 100 * mask[None].astype(np.float32), NNUNetAugment(flip=range(len(patch)))
    moved = 0
    for seed in range(40):
        said, where = augment(image, mask, seed)
        assert said.shape == image.shape
        assert where.shape == mask.shape
        assert set(np.unique(where)) <= {0, 1}
        if where.any():
            assert said[0][where == 1].mean() > said[0][where == 0].mean() + 30
        moved += not np.array_equal(where, mask)
    assert moved > 20
    same = NNUNetAugment(strength=0)(image, mask, 0)
    assert np.array_equal(same[0], image)
    assert np.array_equal(same[1], mask)


def module(root, **options):
    options = {"plan": PLAN, "folds": 3, "batches": 2, "patient": "(.*)_(?:baseline|followup)", **options}
    return SegmentationDataModule(root, **options)


def test_scans_of_a_patient_stay_together_and_statistics_are_of_training(tmp_path):
    names = [f"p{number}_{time}" for number in range(6) for time in ("baseline", "followup")]
    write_dataset(tmp_path, names)
    seen = []
    for fold in range(3):
        data = module(tmp_path, fold=fold)
        data.setup()
        split = data.split
        patients = {name: {case.split("_")[0] for case in cases} for name, cases in split.items()}
        assert not patients["train"] & patients["val"]
        assert len(split["val"]) == 4
        assert split["test"] == split["val"], "without imagesTs"
        seen += split["val"]
        train = [case for case in data.files.train if case.id in split["train"]]
        assert data.state_dict()["intensities"] == [vars(each) for each in measure(train, 2, Store())]
    assert sorted(seen) == sorted(names), "every patient is validated once"


def test_prediction_needs_nothing_of_the_training_data(tmp_path):
    write_dataset(tmp_path / "set", [f"p{number}_baseline" for number in range(3)])
    trained = module(tmp_path / "set", plan=None)
    trained.setup()
    elsewhere = module(tmp_path / "gone", plan=None)
    elsewhere.load_state_dict(json.loads(json.dumps(trained.state_dict())))
    assert (elsewhere.in_channels, elsewhere.num_classes) == (1, 2)
    assert elsewhere.patch_size == trained.patch_size
    elsewhere.set_predict_input(tmp_path / "set" / "imagesTr")
    elsewhere.prepare_data()
    elsewhere.setup("predict")
    elsewhere.leave_out(trained.split["train"][:1])
    said = {batch["id"][0]: batch for batch in elsewhere.predict_dataloader()}
    assert set(said) == {"p0_baseline", "p1_baseline", "p2_baseline"} - set(trained.split["train"][:1])
    expected = next(iter(trained.test_dataloader()))
    assert torch.equal(said[expected["id"][0]]["image"], expected["image"])
    assert "mask" not in said[expected["id"][0]]
    picture = tmp_path / "picture.png"
    Image.fromarray(np.zeros((12, 10), np.uint8)).save(picture)
    elsewhere.set_predict_input(picture)
    with pytest.raises(ValueError, match=r"picture\.png: a picture; the plan of this model is for volumes"):
        next(iter(elsewhere.predict_dataloader()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fold": 3}, "fold=3 of folds=3"),
        ({"foreground": 2.0}, "must be a share"),
        ({"folds": 5}, "2 patients are too few for 5 folds"),
        ({"patient": "x(.*)"}, "does not match the case p0_baseline"),
        ({"classes": ["background", "tumour"]}, "but those of .*'bleed'"),
    ],
)
def test_a_wrong_setting_is_told(tmp_path, options, said):
    write_dataset(tmp_path, ["p0_baseline", "p1_baseline"])
    with pytest.raises(ValueError, match=said):
        module(tmp_path, **{"folds": 2, **options} if "fold" not in options else options).setup()


def test_the_phantom_is_a_data_set_like_any_other(tmp_path):
    plan = {**PLAN, "spacing": [5.0, 3.0, 3.0]}
    phantom = HeadScans(HeadPhantom({"Aare": 2, "Kander": 1}, skull=True), ["Kander"])
    options = {"phantom": phantom, "patient": "(.*)_(?:baseline|followup)", "folds": 2, "plan": plan}
    data = SegmentationDataModule(tmp_path, **options)
    data.prepare_data()
    data.setup()
    assert data.split["test"] == ["Kander_001_baseline", "Kander_001_followup"]
    assert len(data.split["train"]) == len(data.split["val"]) == 2
    batch = next(iter(data.test_dataloader()))
    assert batch["mask"].sum() > 0
    assert batch["image"].shape == (1, 1, 14, 64, 64), "at the spacing of the plan"
    assert batch["mask"].shape[1:] == batch["size"] == (18, 64, 64), "as in the file, of slices of 4 mm"
    again = SegmentationDataModule(tmp_path, **options)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nii.gz")}
    again.prepare_data()
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.nii.gz")} == before


def test_slices_of_the_phantom_are_pictures_like_any_other(tmp_path):
    plan = {**PLAN, "spacing": [1, 1], "patch": [16, 16], "strides": [[1, 1], [2, 2]], "kernels": [[3, 3]] * 2}
    phantom = HeadPictures(HeadPhantom({"Aare": 2}, skull=True))
    options = {"phantom": phantom, "patient": r"(.*)_\d+", "folds": 2, "plan": plan}
    data = SegmentationDataModule(tmp_path, **options)
    data.prepare_data()
    data.setup()
    assert {name[:8] for name in data.split["train"]} != {name[:8] for name in data.split["val"]}
    assert data.split["test"] == data.split["val"]
    batch = next(iter(data.test_dataloader()))
    assert batch["image"].shape == (1, 1, 64, 64)
    assert batch["mask"].unique().tolist() == [0, 1]
    assert next(iter(data.train_dataloader()))["image"].shape == (2, 1, 16, 16)
    files = list(tmp_path.rglob("*.png"))
    before = {file: file.stat().st_mtime_ns for file in files}
    SegmentationDataModule(tmp_path, **options).prepare_data()
    assert {file: file.stat().st_mtime_ns for file in files} == before
