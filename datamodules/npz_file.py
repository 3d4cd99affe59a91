"""Reads and checks an npz file in the layout of MedMNIST.

The file holds `{train,val,test}_images`, uint8 of shape (N, H, W), (N, H, W, 3) or (N, D, H, W), and
`{train,val,test}_labels`, integers of shape (N, L) or (N,): L = 1 class index, or L zeros and ones for `multilabel`.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

__all__ = ["SPLITS", "Task", "image_shape", "read_npz"]

SPLITS = ("train", "val", "test")
Task = Literal["binary", "multiclass", "ordinal", "multilabel"]


def read_npz(file: Path, *, task: Task, num_classes: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read and check all splits of an npz in the layout of MedMNIST.

    Args:
        file: The npz file; no pickled object in it is ever loaded.
        task: Kind of the labels.
        num_classes: Number of classes or labels.

    Returns:
        For each split images (N, C, *spatial) uint8, and labels (N,) int64 or (N, L) float32 for `multilabel`.

    Raises:
        ValueError: If the file is damaged, lacks an array, or holds images or labels of another kind.
    """
    splits = {}
    for name in SPLITS:
        images, labels = _read_array(file, f"{name}_images"), _read_array(file, f"{name}_labels")
        if images.dtype != np.uint8 or images.ndim not in (3, 4):
            raise ValueError(
                f"{file}: {name}_images is {images.dtype} of shape {images.shape}; "
                "expected uint8 of shape (N, H, W), (N, H, W, 3) or (N, D, H, W)"
            )
        if len(images) != len(labels) or len(images) == 0:
            raise ValueError(f"{file}: {name} has {len(images)} images and {len(labels)} labels; expected as many")
        labels = _check_labels(labels, f"{file}: {name}_labels", task, num_classes)
        splits[name] = (_channels_first(images), labels)
    shapes = {images.shape[1:] for images, _ in splits.values()}
    if len(shapes) > 1:
        raise ValueError(f"{file}: splits hold images of different shapes {sorted(shapes)}; expected one shape")
    return splits


def _read_array(file: Path, key: str) -> np.ndarray:
    try:
        with np.load(file, allow_pickle=False) as archive:
            if key in archive:
                return archive[key]
            held = sorted(archive.files)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{file} is damaged or cut short ({error}): delete it and get it again") from error
    raise ValueError(f"{file}: no array '{key}'; it holds {held}")


def _check_labels(labels: np.ndarray, where: str, task: Task, num_classes: int) -> np.ndarray:
    """Labels as the networks want them, or an error that says which label is wrong."""
    if task == "multilabel":
        if labels.ndim != 2 or labels.shape[1] != num_classes or not np.isin(labels, (0, 1)).all():
            expected = f"zeros and ones of shape (N, {num_classes})"
            raise ValueError(f"{where}: expected {expected}, found shape {labels.shape}")
        return labels.astype(np.float32)
    labels = labels.reshape(len(labels), -1)
    if labels.shape[1] != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{where}: expected one integer for each image, found {labels.dtype} of shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= num_classes:
        wrong = labels.max() if labels.max() >= num_classes else labels.min()
        raise ValueError(f"{where}: label {wrong} is outside 0..{num_classes - 1}, the classes of this data set")
    return labels[:, 0].astype(np.int64)


def image_shape(file: Path) -> tuple[int, ...]:
    """(C, *spatial) of the training images in a file, from its header alone.

    Args:
        file: The npz file.

    Returns:
        The shape.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If it holds no training images.
    """
    key = "train_images"
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}: set datamodule.file to an npz in the layout of MedMNIST")
    try:
        with zipfile.ZipFile(file) as archive, archive.open(f"{key}.npy") as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape = read(member)[0]
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError(f"{file} holds no readable array '{key}' ({error})") from error
    return (3, *shape[1:-1]) if _has_colour(shape) else (1, *shape[1:])


def _channels_first(images: np.ndarray) -> np.ndarray:
    """(N, C, *spatial) from images stored without a channel axis, or with colour last."""
    return np.ascontiguousarray(np.moveaxis(images, -1, 1)) if _has_colour(images.shape) else images[:, None]


def _has_colour(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[-1] == 3
