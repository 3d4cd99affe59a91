"""Radiomics and masks in the batches of images in memory."""

import numpy as np
import pytest
import torch

from medzoo.datamodules import MedMNISTPhantomDataModule, NPZDataModule
from medzoo.datamodules.radiomics import RadiomicsSettings, extract, feature_names
from medzoo.datamodules.radiomics.cache import cache_file

BRIGHT = RadiomicsSettings("otsu_bright")


def phantom(folder, **options):
    options = {"radiomics": BRIGHT, "counts": (20, 8, 8), "size": 16, "batch_size": 6, **options}
    module = MedMNISTPhantomDataModule("two_signals", root=folder, **options)
    module.prepare_data()
    module.setup()
    return module


def npz(folder, images, **options):
    labels = np.arange(len(images)) % 2
    arrays = {
        f"{split}_{kind}": x
        for split in ("train", "val", "test")
        for kind, x in (("images", images), ("labels", labels))
    }
    np.savez(folder / "own.npz", **arrays)
    module = NPZDataModule(folder / "own.npz", task="binary", class_names=["a", "b"], **options)
    module.prepare_data()
    module.setup()
    return module


def test_batches_hold_the_radiomics_of_their_images(tmp_path):
    module = phantom(tmp_path, give_mask=True)
    for loader in (module.train_dataloader(), module.val_dataloader(), module.ordered_dataloader("train")):
        for batch in loader:
            raw = ((batch["image"] * 0.5 + 0.5) * 255).round().byte().numpy()
            expected = extract(raw, None, BRIGHT)[0]
            assert batch["hcr"].numpy() == pytest.approx(expected, rel=1e-4, nan_ok=True)
            assert batch["hcr"].dtype == torch.float32
            assert batch["mask"].shape == batch["image"].shape
            assert (
                batch["mask"].flatten(1).sum(1) == batch["hcr"][:, module.hcr_names.index("shape2D_PixelSurface")]
            ).all()
    assert module.hcr_names == feature_names(BRIGHT, 2)
    assert module.hcr_features == len(module.hcr_names)


def test_every_training_image_comes_once_and_in_order(tmp_path):
    module = phantom(tmp_path)
    assert [name for batch in module.ordered_dataloader("train") for name in batch["id"]] == module.split["train"]


def test_scale_is_that_of_the_training_images_alone(tmp_path):
    module = phantom(tmp_path)
    train = torch.cat([batch["hcr"] for batch in module.ordered_dataloader("train")]).numpy()
    assert module.hcr_scaler().mean == pytest.approx(np.nanmean(train, 0), rel=1e-4)


def test_other_settings_never_read_the_features_of_these(tmp_path):
    one = phantom(tmp_path)
    other = phantom(tmp_path, radiomics=RadiomicsSettings("otsu_dark"))
    first, second = (next(iter(module.val_dataloader()))["hcr"] for module in (one, other))
    assert not torch.equal(first.nan_to_num(), second.nan_to_num())
    kept = cache_file(one.file, "val", BRIGHT)
    cache_file(one.file, "val", RadiomicsSettings("otsu_dark")).replace(kept)  # under the name of these settings
    again = next(iter(phantom(tmp_path).val_dataloader()))["hcr"]
    assert torch.equal(again, first)


@pytest.mark.filterwarnings("ignore")
def test_constant_images_and_masks_of_one_pixel_are_missing_values(tmp_path):
    images = np.full((6, 12, 12), 50, np.uint8)
    images[3, 5, 5] = 200  # one bright pixel; the others have none
    module = npz(tmp_path, images, radiomics=BRIGHT, give_mask=True)
    batch = next(iter(module.test_dataloader()))
    assert batch["hcr"].isnan().all()
    assert batch["mask"].flatten(1).sum(1).tolist() == [0, 0, 0, 1, 0, 0]
    scaler = module.hcr_scaler()
    assert np.isfinite(scaler.mean).all()
    assert (scaler.scale == 1).all()


def test_without_radiomics_batches_are_as_before(tmp_path):
    module = phantom(tmp_path, radiomics=None)
    assert set(next(iter(module.val_dataloader()))) == {"image", "label", "id"}
    assert module.hcr_features == 0


def test_prediction_describes_its_images(tmp_path):
    module = phantom(tmp_path)
    fresh = MedMNISTPhantomDataModule("two_signals", root=tmp_path / "none", size=16, radiomics=BRIGHT)
    fresh.load_state_dict(module.state_dict())
    fresh.set_predict_input(module.file)
    said = torch.cat([batch["hcr"] for batch in fresh.predict_dataloader()])
    assert torch.equal(said, torch.cat([batch["hcr"] for batch in module.test_dataloader()]))


def test_colour_images_have_radiomics_of_grey_and_of_each_channel(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (8, 12, 12, 3), np.uint8)
    module = npz(tmp_path, images, radiomics=BRIGHT, give_mask=True, batch_size=8)
    assert module.hcr_features == 9 + 18 + 3 * 18
    batch = next(iter(module.test_dataloader()))
    expected, names, _ = extract(np.moveaxis(images, -1, 1), None, BRIGHT)
    assert names == module.hcr_names
    assert batch["hcr"].numpy() == pytest.approx(expected, rel=1e-4)
    assert batch["mask"].shape == (8, 1, 12, 12)
    assert (batch["mask"].flatten(1).sum(1) == batch["hcr"][:, names.index("shape2D_PixelSurface")]).all()


def test_mistakes_end_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="give_mask=true needs"):
        phantom(tmp_path, radiomics=None, give_mask=True)
    with pytest.raises(ValueError, match="no masks were given"):
        phantom(tmp_path, radiomics=RadiomicsSettings("given"))


def test_a_label_that_is_no_class_is_told(tmp_path):
    splits = ("train", "val", "test")
    images = {f"{split}_images": np.zeros((2, 8, 8), np.uint8) for split in splits}
    np.savez(tmp_path / "x.npz", **images, **{f"{split}_labels": np.array([0, 3]) for split in splits})
    module = NPZDataModule(tmp_path / "x.npz", task="binary", class_names=["a", "b"], radiomics=BRIGHT)
    with pytest.raises(ValueError, match="label 3 is outside"):
        module.setup()
