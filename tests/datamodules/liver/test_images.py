"""Volumes and tiles from their files: orientation, spacing, where they are cut, what is refused; real ones too."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from medzoo.datamodules.liver import images
from medzoo.datamodules.liver.images import ImageSizes
from medzoo.datamodules.liver.records import Patient
from medzoo.datamodules.liver.stored import read_images
from medzoo.datamodules.store import Store
from tests.conftest import REAL_DATA


def read_ct(files, **options):
    return ImageSizes(**options).ct(files)


def read_mr(files, **options):
    return ImageSizes(**options).mr(files)


def read_tiles(files, count, size):
    return ImageSizes((), (), tiles=count, tile_size=size).histology(files)


def save(file, data, affine):
    nib.save(nib.Nifti1Image(data, affine), file)
    return file


def test_a_volume_is_turned_resampled_and_cut_around_the_liver(tmp_path):
    hu = np.full((20, 16, 10), -1000, np.int16)
    hu[12:16, 8:12, 4:6] = 240
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    affine[:3, 3] = (-7, 3, 11)
    labels = save(tmp_path / "liver.nii.gz", (hu > 0).astype(np.uint8), affine)
    straight = {"ct": save(tmp_path / "a.nii.gz", hu, affine), "liver": labels}
    turned = nib.Nifti1Image(hu, affine).as_reoriented(np.array([[1, -1], [0, 1], [2, -1]]))
    nib.save(turned, tmp_path / "b.nii.gz")
    other = {**straight, "ct": tmp_path / "b.nii.gz"}
    options = {"size": (4, 8, 8), "spacing": (5.0, 2.0, 2.0), "hu_window": (-160, 240)}
    cubes = [read_ct(files, **options) for files in (straight, other)]
    assert np.array_equal(*cubes)
    inside = np.zeros((4, 8, 8), bool)
    inside[1:3, 2:6, 2:6] = True
    assert np.array_equal(cubes[0][0] == 255, inside)
    finer = read_ct(straight, size=(4, 8, 8), spacing=(5.0, 1.0, 1.0), hu_window=(-160, 240))
    assert (finer[0, 1:3] > 0).all()


def test_a_volume_is_cut_around_the_largest_lesion_else_the_liver_else_the_middle(tmp_path):
    hu, labels = np.full((32, 24, 12), -1000, np.int16), np.zeros((32, 24, 12), np.uint8)
    labels[4:20, 4:20, 2:10] = 1
    labels[5, 5, 3], labels[14:18, 6:8, 4:6] = 2, 2
    hu[labels == 2] = 240
    ct = save(tmp_path / "ct.nii.gz", hu, np.eye(4))
    files = {"ct": ct, "liver": save(tmp_path / "liver.nii.gz", labels, np.eye(4))}
    options = {"size": (2, 4, 4), "spacing": (1.0, 1.0, 1.0), "hu_window": (-1000, 240)}
    lesion = np.zeros((2, 4, 4), bool)
    lesion[:, 1:3, :] = True
    assert np.array_equal(read_ct(files, around="lesion", **options)[0] == 255, lesion)
    whole = dict(options, size=(8, 16, 16))
    assert read_ct(files, around="liver", **whole)[0, 2:4, 2:4, 10:14].min() == 255  # the box of the liver is the cut
    none = {"ct": ct, "liver": save(tmp_path / "healthy.nii.gz", (labels > 0).astype(np.uint8), np.eye(4))}
    assert np.array_equal(read_ct(none, around="lesion", **whole), read_ct(files, around="liver", **whole))
    assert np.array_equal(read_ct({"ct": ct}, around="lesion", **whole), read_ct(files, around="image", **whole))


def test_one_weighting_of_two_leaves_the_other_empty(tmp_path):
    file = save(tmp_path / "t2.nii.gz", np.random.default_rng(0).uniform(0, 9, (8, 8, 8)).astype(np.float32), np.eye(4))
    mr = read_mr({"t2": file}, size=(8, 8, 8), spacing=(1, 1, 1))
    assert not mr[0].any()
    assert (mr[1].min(), mr[1].max()) == (0, 255)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.full((4, 4, 4), np.nan, np.float32), "NaN"),
        (np.full((4, 4, 4), 200, np.int16), "expected HU"),
        (np.zeros((4, 4, 4, 2), np.int16) - 9, "2 volumes in one file"),
    ],
)
def test_a_ct_that_is_none_is_named(tmp_path, data, message):
    file = save(tmp_path / "ct.nii.gz", data, np.eye(4))
    with pytest.raises(ValueError, match=message) as told:
        read_ct({"ct": file}, size=(4, 4, 4), spacing=(1, 1, 1), hu_window=(-160, 240))
    assert "ct.nii.gz" in str(told.value)


def test_a_bag_is_filled_or_thinned_out_evenly(tmp_path):
    files = []
    for level in range(5):
        files.append(tmp_path / f"{level}.png")
        Image.fromarray(np.full((10, 10, 3), level, np.uint8)).save(files[-1])
    assert read_tiles(files, 3, 10)[:, 0, 0, 0].tolist() == [0, 1, 3]
    assert read_tiles(files, 7, 5)[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 0, 1]
    files[2].write_text("no picture")
    with pytest.raises(ValueError, match=r"2\.png could not be read"):
        read_tiles(files, 5, 10)


def test_images_are_read_once_and_again_where_their_files_or_sizes_changed(tmp_path, monkeypatch):
    file = tmp_path / "tile_00.png"
    Image.new("RGB", (16, 16), (200, 100, 50)).save(file)
    patient = Patient("p", {"t1": tmp_path / "t1.nii.gz"}, (file,), np.zeros(1), None, 0, np.nan, False)
    save(patient.volumes["t1"], np.random.default_rng(0).uniform(0, 9, (8, 8, 8)).astype(np.float32), np.eye(4))
    calls, read = [], ImageSizes.read
    monkeypatch.setattr(ImageSizes, "read", lambda *given: calls.append(given[-1]) or read(*given))
    store = Store(tmp_path / "store")

    def images(modality, patient=patient, **sizes):
        size = ImageSizes((4, 4, 4), (1.0, 1.0, 1.0), tiles=1, tile_size=16)
        return read_images([patient, patient], np.array([True, False]), modality, replace(size, **sizes), store)

    for _ in range(2):
        assert (images("histology")[torch.tensor([0])] == torch.tensor([200, 100, 50])[:, None, None]).all()
        assert not images("histology")[torch.tensor([1])].any(), "of whom it is absent"
        assert images("mr")[torch.tensor([1, 0, 0])].flatten(1).any(1).tolist() == [False, True, True]
    assert calls == ["histology", "mr"]
    images("mr", macenko=True, tiles=3)
    assert len(calls) == 2, "what concerns tiles changes no volume"
    images("histology", tiles=3)
    images("mr", replace(patient, volumes={"t2": patient.volumes["t1"]}))
    assert calls[2:] == ["histology", "mr"], "of the same file, another channel"
    Image.new("RGB", (16, 16), (20, 100, 50)).save(file)
    assert images("histology")[torch.tensor([0])][0, 0, 0].unique().tolist() == [20]


def test_the_label_is_read_once_for_all_weightings(tmp_path, monkeypatch):
    volume = np.random.default_rng(0).uniform(0, 9, (8, 8, 8)).astype(np.float32)
    files = {name: save(tmp_path / f"{name}.nii.gz", volume, np.eye(4)) for name in ("t1", "t2")}
    files["liver"] = save(tmp_path / "liver.nii.gz", (volume > 8).astype(np.uint8), np.eye(4))
    calls, read = [], images.read_mask
    monkeypatch.setattr(images, "read_mask", lambda file: calls.append(file) or read(file))
    read_mr(files, size=(4, 4, 4), spacing=(1, 1, 1))
    assert calls == [files["liver"]]


# Real files


@pytest.mark.parametrize("kind", ["ct", "mr"])
def test_real_volumes_of_the_abdomen_are_read_around_the_liver(kind, tmp_path):
    folder = REAL_DATA / "totalsegmentator"
    if not folder.is_dir():
        pytest.skip(f"no real volumes in {folder}; name the folder above with MEDZOO_REAL_DATA")
    labels = nib.load(folder / f"example_seg{'' if kind == 'ct' else '_mr'}.nii.gz")
    liver = np.asarray(labels.dataobj) == 5
    save(tmp_path / "liver.nii.gz", liver.astype(np.uint8), labels.affine)
    files = {"liver": tmp_path / "liver.nii.gz", "ct" if kind == "ct" else "t1": folder / f"example_{kind}_sm.nii.gz"}
    options = {"size": (32, 80, 80), "spacing": (3.0, 3.0, 3.0)}
    image = read_ct(files, hu_window=(-160, 240), **options)[0] if kind == "ct" else read_mr(files, **options)[0]
    mask = read_ct({"ct": save(tmp_path / "as_hu.nii.gz", liver * 400.0 - 160, labels.affine), "liver": files["liver"]},
                   hu_window=(-160, 240), **options)[0] > 127  # fmt: skip
    voxels = np.prod(labels.header.get_zooms()) * liver.sum()
    assert mask.sum() * 27 > 0.85 * voxels  # the liver is in the cut
    inside = image[mask] / 255
    assert inside.std() < (image / 255).std()
    if kind == "ct":
        assert 20 < np.median(inside) * 400 - 160 < 180


def test_the_middle_of_the_liver_is_found_by_mm_on_a_grid_of_another_origin(tmp_path):
    hu = np.full((24, 24, 24), -1000, np.int16)
    hu[14:18, 10:14, 6:10] = 240
    shifted = np.eye(4)
    shifted[:3, 3] = (6, 4, 2)
    labels = (hu[6:, 4:, 2:] > 0).astype(np.uint8)
    files = {
        "ct": save(tmp_path / "ct.nii.gz", hu, np.eye(4)),
        "liver": save(tmp_path / "liver.nii.gz", labels, shifted),
    }
    cube = read_ct(files, size=(4, 4, 4), spacing=(1.0, 1.0, 1.0), hu_window=(-1000, 240))
    assert (cube == 255).all(), "the cut is the liver itself"
