import numpy as np
import pytest
import torch

from medzoo.datamodules import NPZDataModule
from medzoo.datamodules.seen import mark


def write(file, shape=(8, 8), labels=None, count=6, **changed):
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2)[:, None] if labels is None else labels
    arrays.update(changed)
    np.savez(file, **{key: value for key, value in arrays.items() if value is not None})
    return file


def datamodule(file, **options):
    return NPZDataModule(file, **{"task": "binary", "class_names": ["a", "b"], "batch_size": 4, **options})


@pytest.mark.parametrize(
    ("shape", "expected"), [((8, 9), (1, 8, 9)), ((8, 9, 3), (3, 8, 9)), ((5, 8, 9), (1, 5, 8, 9))]
)
def test_sizes_are_known_before_and_after_reading(tmp_path, shape, expected):
    data = datamodule(write(tmp_path / "x.npz", shape))
    assert data.image_shape == expected
    assert (data.in_channels, data.spatial_dims, data.num_classes) == (expected[0], len(expected) - 1, 2)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (4, *expected)
    assert batch["label"].dtype == torch.int64


def test_colour_moves_to_the_front(tmp_path):
    file = write(tmp_path / "x.npz", (8, 9, 3))
    stored = np.load(file)["val_images"]
    data = datamodule(file, mean=0.0, std=1.0, batch_size=6)
    data.setup()
    (batch,) = data.val_dataloader()
    assert np.array_equal((255 * batch["image"][:, 1]).round(), stored[..., 1])


def test_several_labels_are_floats(tmp_path):
    file = write(tmp_path / "x.npz", labels=np.eye(6, 3, dtype=int))
    data = datamodule(file, task="multilabel", class_names=["a", "b", "c"])
    data.setup()
    batch = next(iter(data.val_dataloader()))
    assert batch["label"].shape == (4, 3)
    assert batch["label"].dtype == torch.float32


def test_images_are_read_in_parts_and_stay_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("medzoo.datamodules.images.npz_file._AT_ONCE", 4)
    file = write(tmp_path / "x.npz", (8, 9, 3), count=10)
    data = datamodule(file, mean=0.0, std=1.0, batch_size=10)
    data.setup()
    images = data._data["val"]["images"]
    assert not isinstance(images, np.ndarray | torch.Tensor)
    stored = np.moveaxis(np.load(file)["val_images"], -1, 1)
    assert np.array_equal(np.asarray(images), stored)
    assert images.marks.tolist() == [mark(image) for image in stored]
    (batch,) = data.val_dataloader()
    assert np.array_equal((255 * batch["image"]).round(), stored)


def test_splits_and_ids(tmp_path):
    data = datamodule(write(tmp_path / "x.npz"))
    data.setup()
    assert data.split["val"] == [f"val_{index:05d}" for index in range(6)]
    assert len({name for names in data.split.values() for name in names}) == 18


def test_images_shared_by_two_splits_are_reported(tmp_path, caplog):
    images = np.zeros((6, 8, 8), np.uint8)
    data = datamodule(write(tmp_path / "x.npz", train_images=images, test_images=images))
    data.setup()
    assert "6 of the test images also occur in the training images" in caplog.text


def test_binary_tasks_have_two_classes(tmp_path):
    with pytest.raises(ValueError, match="binary has two classes"):
        datamodule(tmp_path / "x.npz", class_names=["a", "b", "c"])


ONES = np.ones((6, 1), int)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"val_images": None}, "no array 'val_images'"),
        ({"val_images": np.zeros((6, 8, 8), np.float32)}, "expected uint8"),
        ({"val_images": np.zeros((6, 8), np.uint8)}, "of shape"),
        ({"val_images": np.zeros((6, 9, 9), np.uint8)}, "different shapes"),
        ({"val_images": np.zeros((5, 8, 8), np.uint8)}, "5 images and 6 labels"),
        ({"test_labels": ONES * 2}, "label 2 is outside 0..1"),
        ({"test_labels": -ONES}, "label -1 is outside 0..1"),
        ({"test_labels": ONES * 0.5}, "expected one integer"),
        ({"test_labels": np.array([{}] * 6)}, "holds Python objects"),
        ({"test_labels": ONES * np.nan}, "expected one integer .* among them nan"),
        ({"test_labels": np.eye(6, 2)}, "one-hot labels take labels.argmax"),
        ({"test_labels": np.full((6, 1), "a")}, "expected one integer .*; write 0 to 1"),
        ({"train_labels": ONES}, "no train image of class a"),
        ({"val_labels": ONES * 0}, "no val image of class b"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, changed, message):
    data = datamodule(write(tmp_path / "x.npz", **changed))
    with pytest.raises(ValueError, match=message):
        data.setup()


@pytest.mark.parametrize("kind", [bool, float, np.uint8, ">i4"])
def test_labels_may_be_any_whole_numbers(tmp_path, kind):
    data = datamodule(write(tmp_path / "x.npz", labels=(np.arange(6) % 2).astype(kind)))
    data.setup()
    assert next(iter(data.test_dataloader()))["label"].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 12, 12), (12, 12, 1), (12, 12, 4), (8,), (1, 9, 9, 9)])
def test_channels_at_another_place_are_told_before_a_network_is_built(tmp_path, shape):
    data = datamodule(write(tmp_path / "x.npz", shape))
    for attempt in (lambda: data.image_shape, data.setup):
        with pytest.raises(ValueError, match=r"x.npz: train_images is .*of shape .*; *|, where an axis of channels"):
            attempt()


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda raw: raw[:200] + b"?" * 40 + raw[240:]])
def test_a_damaged_file_is_named(tmp_path, damage):
    file = write(tmp_path / "x.npz", shape=(40, 40))
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=r"x\.npz"):
        datamodule(file).setup()


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        datamodule(tmp_path / "none.npz").prepare_data()
