"""Images without labels: found, scaled, cut, corrupted, and nobody seen who is tested on later."""

import json
import pickle

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from medzoo.datamodules import ImageSource, UnlabelledDataModule
from medzoo.datamodules.segmentation.cases import random_crop
from medzoo.datamodules.transforms import GenesisCorruption
from tests.conftest import REAL_DATA
from tests.datamodules.io.dicom_series import HU, write_ct

NOTHING = GenesisCorruption(flip=0, shuffle=0, nonlinear=0, paint=0)


def volume(file, array, spacing=(2.0, 2.0, 4.0)):
    """Write an array, z first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(array, np.float32).T, np.diag([*spacing, 1])), file)


def cohort(root, patients=6):
    rng = np.random.default_rng(0)
    for number in range(patients):
        volume(root / f"p{number}" / "ct.nii.gz", rng.uniform(-1200, 1200, (8, 20, 24)))
    return root


def data(root, corrupt=NOTHING, patch=(4, 8, 8), **options):
    sources = options.pop("sources", {"ct": ImageSource("*/ct.nii.gz", window=[-1000, 1000], patient="(.*)/ct")})
    options = {"crops": 3, "batch_size": 4, "folds": 3, **options}
    return UnlabelledDataModule(root, sources=sources, patch=patch, corrupt=corrupt, **options)


def test_windows_become_0_to_1_and_mr_takes_its_own_percentiles(tmp_path):
    ramp = np.linspace(-2000, 2000, 4 * 8 * 8).reshape(4, 8, 8)
    volume(tmp_path / "a.nii.gz", ramp)
    ct = ImageSource("*.nii.gz", window=[-1000, 1000]).read(tmp_path / "a.nii.gz")
    assert ct.dtype == np.float32
    assert np.allclose(ct, np.clip((ramp + 1000) / 2000, 0, 1), atol=1e-5)
    low, high = np.percentile(ramp, [0.5, 99.5])
    mr = ImageSource("*.nii.gz").read(tmp_path / "a.nii.gz")
    assert np.allclose(mr, np.clip((ramp - low) / (high - low), 0, 1), atol=1e-5)
    Image.fromarray(np.full((6, 4, 3), 51, np.uint8)).save(tmp_path / "b.png")
    assert np.allclose(ImageSource("*.png", window=[0, 255]).read(tmp_path / "b.png"), 0.2, atol=1e-3)


def test_images_are_brought_to_a_spacing(tmp_path):
    volume(tmp_path / "a.nii.gz", np.random.default_rng(0).random((8, 20, 24)))
    assert ImageSource("*", spacing=[4, 4, 4]).read(tmp_path / "a.nii.gz").shape == (8, 10, 12)
    assert ImageSource("*", spacing=[1, 4]).read(tmp_path / "a.nii.gz").shape == (8, 40, 12), "in the plane only"


@pytest.mark.parametrize("patch", [(4, 8, 8), (8, 8), (16, 32, 32)])
def test_cubes_and_slices_are_cut_from_volumes(tmp_path, patch):
    made = data(cohort(tmp_path), patch=patch)
    made.prepare_data()
    made.setup()
    batch = next(iter(made.train_dataloader()))
    assert batch["image"].shape == (4, 1, *patch)
    assert batch["image"].dtype == torch.float32
    assert torch.equal(batch["image"], batch["target"])
    assert made.spatial_dims == len(patch)
    assert {name: len(ids) for name, ids in made.split.items()} == {"train": 4, "val": 2, "test": 2}
    assert not set(made.split["train"]) & set(made.split["val"])
    assert len(made.train_dataloader()) == 3


def test_pieces_of_the_store_are_those_cut_from_the_files(tmp_path):
    made = data(cohort(tmp_path), seed=4)
    made.setup()
    source, cut = made.sources["ct"], {}
    for number, file in enumerate(source.find(tmp_path)):
        rng = np.random.default_rng((4, number))
        cut[file.id] = [random_crop(source.read(file.path)[None], (4, 8, 8), rng) for _ in range(3)]
    for split, batches in (("train", made.train_dataloader()), ("val", made.val_dataloader())):
        seen = {name: [] for name in made.split[split]}
        for batch in pickle.loads(pickle.dumps(batches)):  # as a worker process gets it
            for name, image in zip(batch["id"], batch["image"].numpy(), strict=True):
                seen[name].append(image)
        for name, images in seen.items():
            expected = np.stack(cut[name]).astype(np.float16).astype(np.float32)
            order = [int(np.flatnonzero((expected == image).all((1, 2, 3, 4)))[0]) for image in images]
            assert sorted(order) == [0, 1, 2]


def test_a_rehearsal_reads_two_files_of_each_split_and_of_two_sources(tmp_path):
    sources = {
        name: ImageSource("*/ct.nii.gz", window=[-1000, high], patient="(.*)/ct")
        for name, high in (("ct", 1000), ("wide", 3000))
    }
    made = data(cohort(tmp_path / "files"), sources=sources)
    made.store_dir = tmp_path / "store"
    made.setup("rehearse")
    assert {name: len(files) for name, files in made._items.items()} == {"train": 2, "val": 2, "test": 2}
    assert len(made.store.entries()) == 4
    assert len(next(iter(made.train_dataloader()))["id"]) == 4
    assert not np.array_equal(*(file.array[0] for file in made._items["train"]))


def test_corruption_is_new_in_each_epoch_and_the_same_in_each_validation(tmp_path):
    made = data(cohort(tmp_path), GenesisCorruption(blocks=20))
    made.setup()
    train, val = made.train_dataloader(), made.val_dataloader()
    first, second = ([batch["image"] for batch in train] for _ in range(2))
    assert not torch.equal(torch.cat(first).sort(0).values, torch.cat(second).sort(0).values)
    before, after = ([batch["image"] for batch in val] for _ in range(2))
    assert torch.equal(torch.cat(before), torch.cat(after))
    again = made.train_dataloader()
    assert all(torch.equal(one, batch["image"]) for one, batch in zip(first, again, strict=True)), (
        "a function of the seed"
    )
    train.load_state_dict({"epoch": 0, "next_batch": 2})
    assert torch.equal(next(iter(train))["image"], first[2])


def test_whom_a_later_network_is_tested_on_is_held_out(tmp_path):
    file = tmp_path / "split.json"
    file.write_text(json.dumps({"ids": {"train": ["p0", "p1", "p2"], "val": ["p3"], "test": ["p4"]}}))
    made = data(cohort(tmp_path), split=file)
    made.setup()
    assert made.split == {
        "train": ["p0/ct", "p1/ct", "p2/ct", "p5/ct"],
        "val": ["p3/ct", "p4/ct"],
        "test": ["p3/ct", "p4/ct"],
    }
    assert made.waiting == ""
    assert "no file" in data(tmp_path, split=tmp_path / "none.json").waiting
    for number in range(4):  # two slices of each of two patients
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / f"x{number // 2}_{number}.png")
    file.write_text(json.dumps({"ids": {"val": ["x1_2"]}}))
    pictures = data(
        tmp_path, patch=(8, 8), split=file, sources={"s": ImageSource("*.png", window=[0, 255], patient=r"(.*)_\d")}
    )
    pictures.setup()
    assert pictures.split["val"] == ["x1_2", "x1_3"], "all slices of the patient"


def test_wrong_data_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image .*ct\.nii\.gz: set datamodule\.root"):
        data(tmp_path).prepare_data()
    cohort(tmp_path, patients=2)
    with pytest.raises(ValueError, match="nobody is left for validation"):
        data(tmp_path).setup()
    with pytest.raises(ValueError, match=r"patient='\(x\.\*\)' of datamodule\.sources does not match p0/ct"):
        data(tmp_path, sources={"ct": ImageSource("*/ct.nii.gz", patient="(x.*)")}).prepare_data()
    volume(tmp_path / "p0" / "ct.nii.gz", np.full((4, 8, 8), np.nan))
    with pytest.raises(ValueError, match="holds NaN"):
        data(tmp_path, folds=2).setup()
    (tmp_path / "p0" / "ct.nii.gz").write_bytes(b"no volume")
    with pytest.raises(ValueError, match="could not be read as a NIfTI volume"):
        data(tmp_path, folds=2).setup()
    with pytest.raises(ValueError, match="the lower first"):
        ImageSource("*", window=[1, 0])


@pytest.mark.skipif(not (REAL_DATA / "totalsegmentator").is_dir(), reason="no TotalSegmentator; set MEDZOO_REAL_DATA")
def test_real_ct_mr_and_slices_are_cut_together():
    sources = {
        "ct": ImageSource("totalsegmentator/example_ct_sm.nii.gz", window=[-160, 240]),
        "mr": ImageSource("totalsegmentator/example_mr_sm.nii.gz"),
        "slices": ImageSource(
            "liver/msd_liver_slices/images/*.jpg", window=[0, 255], patient=r"\D*(\d+)_\d+", spacing=[2, 2]
        ),
    }
    made = data(REAL_DATA, GenesisCorruption(blocks=100), patch=(96, 96), sources=sources, crops=1, folds=5)
    made.setup()
    assert len(made.split["train"]) + len(made.split["val"]) == 177
    patients = {
        split: {name.split("_")[1] for name in ids if name.startswith(("flipped", "mirrored"))}
        for split, ids in made.split.items()
    }
    assert len(patients["train"] | patients["val"]) == 30
    assert not patients["train"] & patients["val"]
    batch = next(iter(made.train_dataloader()))
    assert 0.05 < batch["target"].mean() < 0.7
    assert any(batch["corruption"])


def test_a_last_batch_of_one_joins_the_one_before(tmp_path):
    module = data(cohort(tmp_path), crops=3, batch_size=4, folds=2)
    module.prepare_data()
    module.setup("fit")
    sizes = [len(batch["id"]) for batch in module.train_dataloader()]
    assert sizes == [4, 5]


@pytest.mark.parametrize("pattern", ["*/ct", "*/*", "**/*"])
def test_folders_of_dicom_are_volumes(tmp_path, pattern):
    for number in range(3):
        write_ct(tmp_path / f"p{number}.1" / "ct")
    source = ImageSource(pattern, window=[-1024, 1896], patient="(.*)/ct")
    files = source.find(tmp_path)
    assert [(file.id, file.patient) for file in files] == [(f"p{n}.1/ct", f"p{n}.1") for n in range(3)]
    assert np.allclose(source.read(files[0].path), (HU[:, ::-1, ::-1] + 1024) / 2920)
    module = data(tmp_path, sources={"ct": source}, patch=(2, 4, 4))
    module.setup()
    assert len(module.split["train"]) == 2
    assert len(module.split["val"]) == 1


def test_files_of_dicom_are_slices(tmp_path):
    write_ct(tmp_path / "ct")
    files = ImageSource("ct/*.dcm").find(tmp_path)
    assert [file.id for file in files] == [f"1.1_{number}" for number in range(4)]
    assert ImageSource("ct/*.dcm").read(files[0].path).shape == (1, 6, 8)
