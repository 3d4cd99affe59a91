"""Pieces cut at random places of an image."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medzoo.datamodules.segmentation.cases import random_crop
from medzoo.datamodules.store import Job, Made, Store, StoredArray
from medzoo.datamodules.unlabelled.source import ImageFile, ImageSource

__all__ = ["Cut", "Pieces", "make_pieces", "pieces_job"]


@dataclass(frozen=True)
class Pieces:
    """The pieces of a file."""

    id: str  # of the file
    array: StoredArray  # (N, 1, *patch) float16 in [0, 1]


@dataclass(frozen=True)
class Cut:
    """How pieces are cut from a file."""

    patch: tuple[int, ...]  # voxels of a piece
    count: int  # pieces
    key: tuple[int, int]  # seeds their places


def make_pieces(inputs: tuple[ImageSource, Path], settings: tuple[Cut, object]) -> Made:
    """Cut `pieces` (N, 1, *patch) from an image, padded with 0 where it is smaller.

    They are in half precision: a cube of the published size in 0.3 MB, finer than the noise of any scanner.

    Raises:
        ValueError: If the file cannot be read, or is a picture and the patch has three sides.
    """
    (source, path), (cut, _) = inputs, settings
    image, rng = source.read(path), np.random.default_rng(cut.key)
    if image.ndim < len(cut.patch):
        raise ValueError(f"datamodule.patch={list(cut.patch)}: pictures have two sides; give a patch of two")
    whole = (1,) * (image.ndim - len(cut.patch)) + cut.patch
    pieces = [random_crop(image[None], whole, rng).reshape(1, *cut.patch) for _ in range(cut.count)]
    return Made({"pieces": np.stack(pieces).astype(np.float16)})


def pieces_job(store: Store, source: ImageSource, file: ImageFile, cut: Cut) -> Job:
    """The pieces of a file, to be kept."""
    scale: Sequence[object] = source.window, source.spacing
    return store.job(file.id, make_pieces, (source, file.path), [file.path], (cut, scale))
