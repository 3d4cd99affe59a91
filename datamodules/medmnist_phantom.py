"""Synthetic stand-in for a MedMNIST set, named by the same words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from datamodules.npz import NPZDataModule
from datamodules.phantoms.images import ImagesPhantom

__all__ = ["MedMNISTPhantomDataModule"]


class MedMNISTPhantomDataModule(NPZDataModule):
    """Phantom images (`datamodules/phantoms/images.py`); batches as in `NPZDataModule`.

    Args:
        name: The set that is imitated: `breastmnist` (2-D ultrasound-like) or `adrenalmnist3d` (3-D shapes); or
            `two_signals` (2-D) or `two_signals_3d`, whose label has one sign inside a mask and one outside; or
            `lesion_or_none` (2-D).
        size: Edge in pixels.
        counts: Images in train, val and test.
        root: Folder to write to.
        phantom_seed: Seed of the cohort, apart from the seed of training.
        **options: `batch_size`, `augment`, `mean`, `std`, `shuffle`, `drop_last` and `seed` of `NPZDataModule`.
    """

    def __init__(
        self,
        name: Literal[
            "breastmnist", "adrenalmnist3d", "two_signals", "two_signals_3d", "lesion_or_none"
        ] = "breastmnist",
        *,
        size: int = 28,
        counts: Sequence[int] = (600, 100, 300),
        root: str | Path = "data/phantoms",
        phantom_seed: int = 0,
        **options: Any,
    ) -> None:
        made = ImagesPhantom(name, size, tuple(counts), phantom_seed)
        super().__init__(root, phantom=made, task="binary", class_names=made.class_names, **options)
        self._image_shape = made.image_shape
