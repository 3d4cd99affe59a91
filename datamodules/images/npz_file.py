"""Reads and checks an npz file in the layout of MedMNIST.

The file holds `{train,val,test}_images`, uint8 of shape (N, H, W), (N, H, W, 3) or (N, D, H, W), and
`{train,val,test}_labels`, integers of shape (N, L) or (N,): L = 1 class index, or L zeros and ones for `multilabel`.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from medzoo.datamodules.in_memory import Task
from medzoo.datamodules.io.arrays import npz_header, npz_rows
from medzoo.datamodules.io.arrays import read_npz as read_array
from medzoo.datamodules.seen import SPLITS, mark
from medzoo.datamodules.store import Made, Streamed

__all__ = ["check_npz", "image_shape", "read_npz", "split_of"]

_FEW = 4  # an axis this short holds channels rather than columns
_AT_ONCE = 512  # images read at once


def check_npz(file: Path) -> None:
    """Check the headers of all splits.

    Raises:
        ValueError: If the file is damaged, lacks an array, or images are not uint8 of one shape.
    """
    shapes = set()
    for name in SPLITS:
        shape, kind = npz_header(file, f"{name}_images")
        where = f"{file}: {name}_images is {kind} of shape {shape}"
        if kind != np.uint8:
            raise ValueError(f"{where}; expected uint8, 0 to 255")
        channels, labels = _channels_of(shape, where), npz_header(file, f"{name}_labels")[0]
        if shape[:1] != labels[:1] or not shape[0]:
            count = labels[0] if labels else "no"
            raise ValueError(f"{file}: {name} has {shape[0]} images and {count} labels; expected as many")
        shapes.add((channels, shape[1:]))
    if len(shapes) > 1:
        raise ValueError(f"{file}: splits hold images of different shapes {sorted(shapes)}; expected one shape")


def read_npz(file: Path, *, task: Task, num_classes: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read all splits into memory: images (N, C, *spatial) uint8 and labels, as `split_of`; by name.

    Raises:
        ValueError: As of `check_npz` and `split_of`.
    """
    check_npz(file)
    splits = {}
    for name in SPLITS:
        made = split_of(file, (name, task, num_classes)).arrays
        images, labels = made["images"], made["labels"]
        assert isinstance(images, Streamed)
        assert isinstance(labels, np.ndarray)
        splits[name] = np.concatenate([*images.parts]), labels
    return splits


def split_of(file: Path, how: tuple[str, Task, int]) -> Made:
    """Read one split in the layout of MedMNIST; pickled objects are never loaded.

    Args:
        file: The npz.
        how: Name of the split, task and number of classes.

    Returns:
        `images` (N, C, *spatial) uint8, `marks` (N,) int64 hashes of the images, and `labels` (N,) int64, or (N, L)
        float32 for `multilabel`.

    Raises:
        ValueError: If an array is damaged, or labels are invalid.
    """
    name, task, classes = how
    labels = _check_labels(read_array(file, f"{name}_labels"), f"{file}: {name}_labels", task, classes)
    shape, _ = npz_header(file, f"{name}_images")
    colour = _channels_of(shape, f"{file}: {name}_images is of shape {shape}") == 3
    marks: list[int] = []

    def parts() -> Iterator[np.ndarray]:
        for part in npz_rows(file, f"{name}_images", _AT_ONCE):
            images = np.ascontiguousarray(np.moveaxis(part, -1, 1)) if colour else part[:, None]
            marks.extend(map(mark, images))
            yield images

    whole = (shape[0], 3, *shape[1:-1]) if colour else (shape[0], 1, *shape[1:])
    images = Streamed(whole, np.dtype(np.uint8), parts())
    after = Streamed(shape[:1], np.dtype(np.int64), (np.array(marks) for _ in range(1)))  # known after the images
    return Made({"images": images, "marks": after, "labels": labels})


def _check_labels(labels: np.ndarray, where: str, task: Task, num_classes: int) -> np.ndarray:
    """Labels as networks take them, or an error that names the invalid label."""
    if task == "multilabel":
        if labels.ndim != 2 or labels.shape[1] != num_classes or not np.isin(labels, (0, 1)).all():
            expected = f"zeros and ones of shape (N, {num_classes})"
            raise ValueError(f"{where}: expected {expected}, found {labels.dtype} of shape {labels.shape}")
        return labels.astype(np.float32)
    told = f"{where}: expected one integer for each image, found {labels.dtype} of shape {labels.shape}"
    if labels.dtype.kind in "US":
        raise ValueError(f"{told}; write 0 to {num_classes - 1}, the place in datamodule.class_names, for each name")
    labels = labels.reshape(len(labels), -1)
    if labels.shape[1] != 1:
        raise ValueError(f"{told}; of one-hot labels take labels.argmax(1), of several labels task=multilabel")
    labels = labels[:, 0]
    whole = np.isfinite(labels) & (labels == np.floor(labels))
    if not whole.all():
        raise ValueError(f"{told}, among them {labels[~whole][0]:g}")
    if labels.min() < 0 or labels.max() >= num_classes:
        wrong = labels.max() if labels.max() >= num_classes else labels.min()
        raise ValueError(f"{where}: label {wrong:g} is outside 0..{num_classes - 1}, the classes of this data set")
    return labels.astype(np.int64)


def image_shape(file: Path) -> tuple[int, ...]:
    """(C, *spatial) of the training images in a file, from its header alone.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it holds no training images, or images of another shape than above.
    """
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}: set datamodule.file to an npz in the layout of MedMNIST")
    shape, _ = npz_header(file, "train_images")
    channels = _channels_of(shape, f"{file}: train_images is of shape {shape}")
    return (3, *shape[1:-1]) if channels == 3 else (1, *shape[1:])


def _channels_of(shape: tuple[int, ...], where: str) -> int:
    """The number of channels, 3 or 1, of an unambiguous shape.

    Raises:
        ValueError: If the shape is not one of those above, or seems to have channels on another axis.
    """
    expected = "expected (N, H, W), (N, H, W, 3) or (N, D, H, W)"
    if len(shape) not in (3, 4):
        raise ValueError(f"{where}; {expected}")
    if len(shape) == 4 and shape[-1] != 3 and (shape[1] in (1, 3) or shape[-1] <= _FEW):
        grey = 1 in (shape[1], shape[-1])
        remedy = f"leave the axis of one out: images[{':, 0' if shape[1] == 1 else '..., 0'}]"
        remedy = remedy if grey else "put colour last, by np.moveaxis(images, 1, -1)"
        raise ValueError(f"{where}, where an axis of channels seems to be; {expected}: {remedy}")
    return 3 if len(shape) == 4 and shape[-1] == 3 else 1
