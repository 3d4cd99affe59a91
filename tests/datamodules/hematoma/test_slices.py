import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from medzoo.datamodules import HematomaSlicesDataModule
from medzoo.datamodules.hematoma.roi import roi_slices
from medzoo.datamodules.phantoms.head.patient import simulate

SPACING = (5.0, 1.0, 1.0)


def scan(size=(7, 40, 50)):
    """A bleed of 60 HU over slices 2 to 4, largest in 3, and a smaller one elsewhere."""
    ct = np.full(size, 30.0)
    mask = np.zeros(size, int)
    mask[3, 10:20, 12:28] = 1
    mask[2, 12:18, 14:26] = mask[4, 12:18, 14:26] = 1
    mask[5, 30:33, 40:44] = 1
    ct[mask > 0] = 60
    ct += np.arange(size[0])[:, None, None]  # tells slices apart
    return ct, mask


def test_the_largest_slice_and_its_neighbours_are_cut_in_one_square():
    ct, mask = scan()
    said = roi_slices(ct, mask, SPACING, size=26, margin_mm=5)
    assert list(said) == ["up", "max", "low"]
    for number, name in ((2, "up"), (3, "max"), (4, "low")):
        assert said[name].shape == (26, 26)
        assert said[name][0, 0] == round((30 + number) * 255 / 90), "W 90, L 45"
        assert said[name][13, 13] == round((60 + number) * 255 / 90)
    bright = said["max"] > 150
    assert np.flatnonzero(bright.any(1)).tolist() == list(range(8, 18)), "10 of 26 mm, in the middle"
    assert np.flatnonzero(bright.any(0)).tolist() == list(range(5, 21)), "16 of 26 mm: margins of 5 mm"


def test_what_reaches_over_the_border_is_black_and_slices_outside_are_left_out():
    ct, mask = scan()
    mask[:] = 0
    mask[0, :6, :6] = 1
    said = roi_slices(ct, mask, SPACING, size=16)
    assert list(said) == ["max", "low"]
    assert said["max"][0, 0] == 0
    assert said["max"][10, 10] > 0


def test_of_equally_large_slices_the_one_in_the_middle_is_taken():
    ct, mask = scan()
    mask[2:5] = mask[3]
    said = roi_slices(ct, mask, SPACING, size=16)
    assert said["max"][8, 8] == round((60 + 3) * 255 / 90)
    mask[1, 10:20, 12:22] = 1  # the bleed's centre moves down
    assert roi_slices(ct, mask, SPACING, size=16)["max"][8, 8] == round((60 + 3) * 255 / 90)
    mask[1] = mask[3]
    mask[0, 10:20, 12:22] = 1
    assert roi_slices(ct, mask, SPACING, size=16)["max"][8, 8] == round((60 + 2) * 255 / 90)


def test_as_released_neighbours_lie_between_slices_and_boxes_are_tight():
    ct, mask = scan()
    said = roi_slices(ct, mask, SPACING, neighbours="released", box="tight", size=32)
    upsampled = ndimage.zoom(ct[:, 15, 20], 3.5, order=3, grid_mode=False)
    assert len(said) == 3
    spline = ndimage.map_coordinates(ct[:, 15, 20], [[3 - 1 / 3.5, 3 + 1 / 3.5]], order=3)
    assert said["up"][16, 16] == pytest.approx(spline[0] * 255 / 90, abs=1.5)
    assert said["low"][16, 16] == pytest.approx(spline[1] * 255 / 90, abs=1.5)
    assert upsampled.max() > 0
    assert (said["max"] > 150).all(), "nothing but bleed in a tight box"


def test_a_scan_without_bleed_or_on_another_grid_is_told():
    ct, mask = scan()
    with pytest.raises(ValueError, match="the mask is empty"):
        roi_slices(ct, mask * 0, SPACING)
    with pytest.raises(ValueError, match="different grids"):
        roi_slices(ct, mask[1:], SPACING)


def write(root, counts, size=16):
    rng = np.random.default_rng(0)
    for split, labels in counts.items():
        for name, count in labels.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                for slice_name in ("up", "max", "low"):
                    picture = rng.integers(0, 255, (size, size), np.uint8)
                    Image.fromarray(picture).save(folder / f"{split}{name}{number}_{slice_name}.png")


COUNTS = {"train": {"HE": 2, "NHE": 8}, "val": {"HE": 2, "NHE": 2}, "test": {"HE": 2, "NHE": 2}}


def synthetic(folder, count):
    folder.mkdir()
    for number in range(count):
        Image.fromarray(np.full((16, 16), number, np.uint8)).save(folder / f"{number:03d}.png")
    return folder


def module(root, **options):
    return HematomaSlicesDataModule(root, **{"image_size": 16, "batch_size": 8, **options})


def test_slices_are_read_with_expansion_as_1(tmp_path):
    write(tmp_path, COUNTS)
    data = module(tmp_path, channels=3)
    data.prepare_data()
    data.setup()
    batch = next(iter(data.test_dataloader()))
    assert batch["image"].shape == (8, 3, 16, 16)
    assert dict(zip(batch["id"], batch["label"].tolist(), strict=True))["testHE0_max"] == 1
    assert data.patient_of("testHE0_max") == "testHE0"
    assert (data.task, data.class_names, data.image_shape) == ("binary", ["NHE", "HE"], (3, 16, 16))


@pytest.mark.parametrize(("balance", "with_expansion"), [("none", 6), ("semibalanced", 12), ("balanced", 24)])
def test_synthetic_slices_fill_up_training_alone(tmp_path, balance, with_expansion):
    write(tmp_path / "set", COUNTS)
    data = module(tmp_path / "set", balance=balance, synthetic=synthetic(tmp_path / "made", 20))
    data.setup()
    labels = [label for batch in data.train_dataloader() for label in batch["label"].tolist()]
    assert sum(labels) == with_expansion
    assert len(labels) - sum(labels) == 24
    made = {split: [name for name in ids if name.startswith("synthetic_")] for split, ids in data.split.items()}
    assert len(made["train"]) == with_expansion - 6
    assert made["val"] == made["test"] == []


def test_all_slices_have_the_detail_of_the_synthetic_ones(tmp_path):
    write(tmp_path / "set", COUNTS, size=32)
    made = synthetic(tmp_path / "made", 20)
    options = {"image_size": 32, "balance": "balanced", "synthetic": made}
    with pytest.raises(ValueError, match=r"told apart by their detail alone: set datamodule.resolution=16"):
        module(tmp_path / "set", **options).setup()
    data = module(tmp_path / "set", **options, resolution=16)
    data.setup()
    data.set_predict_input(tmp_path / "set" / "test")
    batches = [*data.train_dataloader(), *data.test_dataloader(), *data.predict_dataloader()]
    images = torch.cat([batch["image"] for batch in batches])[:, 0]
    assert images.shape[1:] == (32, 32)
    spectrum = torch.fft.fft2(images - images.mean((1, 2), keepdim=True)).abs().square()
    fine = torch.fft.fftfreq(32).abs() > 0.375  # linear interpolation from 16 pixels leaves little of it
    share = spectrum[:, fine][:, :, fine].sum((1, 2)) / spectrum.sum((1, 2)).clamp_min(1e-6)
    assert share.max() < 0.01
    plain = module(tmp_path / "set", image_size=32)
    plain.setup()
    image = next(iter(plain.test_dataloader()))["image"][:, 0]
    spectrum = torch.fft.fft2(image - image.mean((1, 2), keepdim=True)).abs().square()
    assert (spectrum[:, fine][:, :, fine].sum((1, 2)) / spectrum.sum((1, 2))).min() > 0.02


def test_all_slices_have_the_same_noise(tmp_path):
    write(tmp_path / "set", COUNTS, size=32)
    options = {"image_size": 32, "resolution": 16, "balance": "balanced", "synthetic": synthetic(tmp_path / "made", 20)}
    plain, noisy = (module(tmp_path / "set", **options, noise=noise) for noise in (0.0, 0.1))
    for data in (plain, noisy):
        data.setup()
        data.set_predict_input(tmp_path / "set" / "test")
    for split in ("train", "val", "test"):
        given = [
            torch.cat([batch["image"] for batch in data.ordered_dataloader(split)]).flatten(1)
            for data in (plain, noisy)
        ]
        assert ((given[1] - given[0]).std(1) > 0.05).all(), f"every slice of {split}"
    predicted, tested = (next(iter(each)) for each in (noisy.predict_dataloader(), noisy.test_dataloader()))
    same = [name.rpartition("/")[2] for name in predicted["id"]].index(tested["id"][0])
    assert torch.equal(predicted["image"][same], tested["image"][0]), "the same noise whenever a slice is read"
    with pytest.raises(ValueError, match="noise=-1 must not be negative"):
        module(tmp_path / "set", noise=-1.0)


def test_what_does_not_fit_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"resolution=32 must lie between 8 and image_size=16"):
        module(tmp_path, resolution=32)
    with pytest.raises(ValueError, match=r"balance=balanced adds synthetic slices: set datamodule.synthetic"):
        module(tmp_path, balance="balanced")
    with pytest.raises(FileNotFoundError, match="needs train/NHE, train/HE"):
        module(tmp_path).prepare_data()
    write(tmp_path / "set", COUNTS)
    few = module(tmp_path / "set", balance="balanced", synthetic=synthetic(tmp_path / "made", 3))
    with pytest.raises(ValueError, match=r"needs 18 synthetic slices, .* has 3"):
        few.setup()
    leaked = tmp_path / "set" / "train" / "HE" / "trainHE0_max.png"
    (tmp_path / "set" / "test" / "HE" / leaked.name).write_bytes(leaked.read_bytes())
    with pytest.raises(ValueError, match="patient trainHE0 is in both train and test"):
        module(tmp_path / "set").setup()


def test_slices_without_a_split_are_split_by_patient(tmp_path):
    write(tmp_path / "a", {"": {"HE": 20, "NHE": 30}})
    for name in ("HE", "NHE"):
        (tmp_path / "a" / name).rename(tmp_path / "x")
        (tmp_path / "a" / name).mkdir()
        (tmp_path / "x").rename(tmp_path / "a" / name / "images_16")
    data = module(tmp_path / "a")
    data.prepare_data()
    data.setup()
    patients = {split: {data.patient_of(name) for name in ids} for split, ids in data.split.items()}
    assert {split: len(names) for split, names in patients.items()} == {"train": 40, "val": 5, "test": 5}
    assert len(set.union(*patients.values())) == 50
    assert {data._data[split]["labels"].sum().item() for split in ("val", "test")} == {6}, (
        "two patients of three slices"
    )
    (tmp_path / "a" / "NHE").rename(tmp_path / "elsewhere")
    alone = module(tmp_path / "a", expansion_only=True)
    alone.prepare_data()
    alone.setup()
    assert {split: len(ids) for split, ids in alone.split.items()} == {"train": 48, "val": 6, "test": 6}
    with pytest.raises(FileNotFoundError, match="needs train/NHE"):
        module(tmp_path / "a").prepare_data()


def test_two_patients_of_a_class_are_the_least_in_every_split(tmp_path):
    write(tmp_path, {**COUNTS, "val": {"HE": 1, "NHE": 2}})
    with pytest.raises(ValueError, match="1 patients of class HE in val; two are needed"):
        module(tmp_path).setup()


def test_the_sign_marks_expansion_and_changes_nothing_else():
    mottled, spread = {True: [], False: []}, {True: [], False: []}
    for number in range(40):
        plain, signed = simulate((7, number)), simulate((7, number), signs="mottled")
        assert plain.shown is None
        assert np.array_equal(plain.baseline.iph, signed.baseline.iph)
        assert plain.clinical == signed.clinical
        seen = "mottled" in signed.shown
        mottled[signed.expansion].append(seen)
        spread[seen].append(signed.baseline.ct[signed.baseline.iph > 0].std())
        if not seen:
            assert np.array_equal(plain.baseline.ct, signed.baseline.ct)
    assert np.mean(spread[True]) > np.mean(spread[False]) + 3, "in HU"
    assert np.mean(mottled[True]) > np.mean(mottled[False]) + 0.2
    same = simulate((7, 3), signs="mottled", do={"Anticoagulant": 1.0})
    assert same.shown == simulate((7, 3), signs="mottled", do={"Anticoagulant": 0.0}).shown


@pytest.mark.parametrize("rank", [0, 1])
def test_every_rank_is_given_all_plain_images(tmp_path, monkeypatch, rank):
    write(tmp_path / "set", COUNTS)
    data = module(tmp_path / "set")
    data.setup()
    monkeypatch.setattr(type(data), "ranks", {"rank": rank, "world_size": 2})
    batches = list(data.plain("train"))
    assert [name for batch in batches for name in batch["id"]] == data.split["train"]
    assert all(0 <= batch["image"].min() <= batch["image"].max() <= 1 for batch in batches)
    shared = [name for batch in data.val_dataloader() for name in batch["id"]]
    assert 0 < len(shared) < len(data.split["val"]), "evaluation is shared out"


def test_synthetic_slices_that_are_yet_to_be_made_are_waited_for(tmp_path):
    write(tmp_path / "set", COUNTS)
    data = module(tmp_path / "set", balance="balanced", synthetic=tmp_path / "made")
    assert "made: make synthetic slices first" in data.waiting
    synthetic(tmp_path / "made", 20)
    assert not data.waiting
