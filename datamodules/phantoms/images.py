"""Images with labels in one npz, in MedMNIST's layout."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medzoo.datamodules.phantoms import adrenal, breast, lesion_or_none, two_signals
from medzoo.files import replacing

__all__ = ["ImagesPhantom"]

_SETS: dict[str, tuple[Callable[..., Any], tuple[str, str], int]] = {
    "breastmnist": (breast.breast_phantom, breast.CLASS_NAMES, 2),
    "adrenalmnist3d": (adrenal.adrenal_phantom, adrenal.CLASS_NAMES, 3),
    "lesion_or_none": (lesion_or_none.lesion_or_none_phantom, lesion_or_none.CLASS_NAMES, 2),
    "two_signals": (two_signals.two_signals_phantom, two_signals.CLASS_NAMES, 2),
    "two_signals_outside": (
        partial(two_signals.two_signals_phantom, weights=(2.0, 10.0)),
        two_signals.CLASS_NAMES,
        2,
    ),
    "two_signals_shared": (partial(two_signals.two_signals_phantom, correlation=0.8), two_signals.CLASS_NAMES, 2),
    "two_signals_3d": (partial(two_signals.two_signals_phantom, spatial_dims=3), two_signals.CLASS_NAMES, 3),
}


@dataclass(frozen=True)
class ImagesPhantom:
    """Images whose label follows a documented causal model; the file holds the true probability of every label.

    Attributes:
        set: Name of the imitated data set; the causal models are in `datamodules/phantoms/`.
        size: Edge in pixels.
        counts: Number of images in train, val and test.
        seed: Seed of the cohort, independent of the seed of training.

    Raises:
        ValueError: If there is no such set.
    """

    set: str
    size: int = 28
    counts: Sequence[int] = (600, 100, 300)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.set not in _SETS:
            raise ValueError(f"no phantom of '{self.set}'; choose datamodule.name from {sorted(_SETS)}")

    @property
    def name(self) -> str:
        """File name, unique for these arguments."""
        return "_".join(map(str, (self.set, self.size, *self.counts, f"seed{self.seed}"))) + ".npz"

    @property
    def class_names(self) -> tuple[str, str]:
        """Class names in order of the label."""
        return _SETS[self.set][1]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of an image, (1, *spatial)."""
        return (1, *[self.size] * _SETS[self.set][2])

    def write(self, file: Path) -> None:
        """Write the file if it is missing."""
        if file.is_file():
            return
        arrays: dict[str, Any] = {}
        for index, (split, count) in enumerate(zip(("train", "val", "test"), self.counts, strict=True)):
            drawn = _SETS[self.set][0](count, size=self.size, seed=3 * self.seed + index)
            for key, array in zip(("images", "labels", "probability"), drawn, strict=True):
                arrays[f"{split}_{key}"] = array
        with replacing(file) as partial_file:
            np.savez_compressed(partial_file, **arrays)
