"""Synthetic stand-in for a MedMNIST set: written to disk once, then read like any npz."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.npz import NPZDataModule
from datamodules.npz_file import SPLITS
from datamodules.phantoms import adrenal, breast, lesion_or_none, two_signals

__all__ = ["MedMNISTPhantomDataModule"]

_PHANTOMS: dict[str, tuple[Callable[..., Any], tuple[str, str], int]] = {
    "breastmnist": (breast.breast_phantom, breast.CLASS_NAMES, 2),
    "adrenalmnist3d": (adrenal.adrenal_phantom, adrenal.CLASS_NAMES, 3),
    "lesion_or_none": (lesion_or_none.lesion_or_none_phantom, lesion_or_none.CLASS_NAMES, 2),
    "two_signals": (two_signals.two_signals_phantom, two_signals.CLASS_NAMES, 2),
    "two_signals_3d": (partial(two_signals.two_signals_phantom, spatial_dims=3), two_signals.CLASS_NAMES, 3),
}


class MedMNISTPhantomDataModule(NPZDataModule):
    """Phantom images with a documented causal model; batches as in `NPZDataModule`.

    The file keeps the true probability of every label (`test_probability`), from which the best reachable AUC follows.

    Args:
        name: The set that is imitated: `breastmnist` (2-D ultrasound-like) or `adrenalmnist3d` (3-D shapes); or
            `two_signals` (2-D) or `two_signals_3d`, whose label has one sign inside a mask and one outside; or
            `lesion_or_none` (2-D). The causal models are in `datamodules/phantoms/`.
        size: Edge in pixels.
        counts: Images in train, val and test.
        root: Folder to write to.
        phantom_seed: Seed of the cohort, apart from the seed of training.
        **options: `batch_size`, `augment`, `mean`, `std`, `shuffle`, `drop_last` and `seed` of `NPZDataModule`.
    """

    phantom = True

    def __init__(
        self,
        name: Literal[
            "breastmnist", "adrenalmnist3d", "two_signals", "two_signals_3d", "lesion_or_none"
        ] = "breastmnist",
        *,
        size: int = 28,
        counts: tuple[int, int, int] = (600, 100, 300),
        root: str | Path = "data/phantoms",
        phantom_seed: int = 0,
        **options: Any,
    ) -> None:
        if name not in _PHANTOMS:
            raise ValueError(f"no phantom of '{name}'; choose datamodule.name from {sorted(_PHANTOMS)}")
        self._draw, class_names, dims = _PHANTOMS[name]
        self.size, self.counts, self.phantom_seed = size, tuple(counts), phantom_seed
        stem = "_".join(map(str, (name, size, *counts, f"seed{phantom_seed}")))
        super().__init__(Path(root) / f"{stem}.npz", task="binary", class_names=class_names, **options)
        self._image_shape = (1, *[size] * dims)

    def fetch(self) -> None:
        """Write the file where it is missing."""
        if self.file.is_file():
            return
        arrays: dict[str, Any] = {}
        for index, (split, count) in enumerate(zip(SPLITS, self.counts, strict=True)):
            drawn = self._draw(count, size=self.size, seed=3 * self.phantom_seed + index)
            for key, array in zip(("images", "labels", "probability"), drawn, strict=True):
                arrays[f"{split}_{key}"] = array
        self.file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.file.with_suffix(".partial.npz")
        np.savez_compressed(partial, **arrays)
        partial.replace(self.file)
