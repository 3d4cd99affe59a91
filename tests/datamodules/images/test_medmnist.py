import shutil

import medmnist
import numpy as np
import pytest
import torch

from medzoo.datamodules import MedMNISTDataModule

TASKS = {"binary-class": "binary", "multi-class": "multiclass", "ordinal-regression": "ordinal"}


@pytest.mark.parametrize("name", sorted(medmnist.INFO))
def test_all_sets_are_known_without_their_files(name, tmp_path):
    info = medmnist.INFO[name]
    data = MedMNISTDataModule(name, root=tmp_path)
    assert data.num_classes == len(info["label"])
    assert data.in_channels == info["n_channels"]
    assert data.spatial_dims == (3 if name.endswith("3d") else 2)
    assert data.image_size == [28] * data.spatial_dims
    assert data.task == TASKS.get(info["task"], "multilabel")


@pytest.mark.parametrize(("name", "size"), [("pathmnist", 224), ("bloodmnist", 64), ("organmnist3d", 64)])
def test_larger_sizes_have_files_of_their_own(name, size, tmp_path):
    data = MedMNISTDataModule(name, size=size, root=tmp_path)
    assert data.file.name == f"{name}_{size}.npz"
    assert data.image_size == [size] * data.spatial_dims


@pytest.mark.parametrize(("name", "size", "message"), [
    ("brestmnist", 28, "did you mean breastmnist"),
    ("adrenalmnist3d", 128, r"choose datamodule.size from \[28, 64\]"),
])  # fmt: skip
def test_unknown_sets_and_sizes_are_refused(name, size, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        MedMNISTDataModule(name, size=size, root=tmp_path)


def test_without_a_network_it_says_which_file_to_put_where(tmp_path, monkeypatch):
    calls = []

    def refuse(*arguments):
        calls.append(arguments)
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(FileNotFoundError, match=r"MD5 750601b1f35ba3300ea97c75c52ff8f6.*breastmnist\.npz"):
        MedMNISTDataModule("breastmnist", root=tmp_path / "new").prepare_data()
    assert len(calls) == 3, "it tries again before it gives up"


def test_a_file_with_another_checksum_is_refused(tmp_path):
    (tmp_path / "breastmnist.npz").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"MD5 is .* expected 750601b1"):
        MedMNISTDataModule("breastmnist", root=tmp_path).prepare_data()


@pytest.mark.parametrize("name", ["breastmnist", "adrenalmnist3d"])
def test_real_batches_equal_those_of_the_medmnist_package(name, medmnist_root, tmp_path):
    shutil.copy(medmnist_root / f"{name}.npz", tmp_path)
    data = MedMNISTDataModule(name, root=tmp_path, batch_size=50)
    data.prepare_data()
    data.setup()
    official = getattr(medmnist, medmnist.INFO[name]["python_class"])(split="val", root=str(tmp_path))
    images = np.concatenate([batch["image"] for batch in data.val_dataloader()])
    labels = np.concatenate([batch["label"] for batch in data.val_dataloader()])
    for index in range(len(official)):
        image, label = official[index]
        pixels = np.asarray(image, dtype=np.float64)
        pixels = pixels if name.endswith("3d") else pixels[None] / 255
        assert np.allclose(images[index], (pixels - 0.5) / 0.5, atol=1e-6)
        assert labels[index] == label[0]
