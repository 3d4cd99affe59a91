"""Slices of two kinds of images, such as of two scanners, of which none belongs to another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medzoo.datamodules.batches import ResumableBatches
from medzoo.datamodules.segmentation.cases import Case, corner_at_random
from medzoo.datamodules.segmentation.folders import PatientFoldersDataModule

__all__ = ["UnpairedBatches", "UnpairedFoldersDataModule"]


class UnpairedBatches(ResumableBatches):
    """`{"image": (B, C, h, w) of one kind, "other": the same of the other kind, "id": B names of the first}`.

    Args:
        cases: Of the first kind.
        others: Of the second.
        patch: Sides of a piece of a slice; a smaller slice is filled up with 0.
        batches: In an epoch.
        fixed: Draw the same pieces in every epoch.
        **options: Of `ResumableBatches`.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        others: Sequence[Case],
        patch: Sequence[int],
        *,
        batches: int,
        fixed: bool = False,
        **options: int,
    ) -> None:
        super().__init__(**options)
        self.cases, self.others, self.patch, self.batches, self.fixed = cases, others, tuple(patch), batches, fixed

    def plan(self, epoch: int) -> list[Tensor]:
        """As many batches as asked for; what is in them is drawn when they are made."""
        if self.fixed:  # for evaluation: so many over all ranks
            return self.ordered_plan(self.batches * self.batch_size)
        return [torch.arange(self.batch_size)] * self.batches

    def batch(self, chosen: Tensor, index: int, epoch: int) -> dict[str, Any]:
        """Slices of random cases."""
        key = (0, int(chosen[0]) // self.batch_size, 0) if self.fixed else (epoch + 1, index, self.rank)
        rng = np.random.default_rng((self.seed, *key))
        drawn = [[kind[int(rng.integers(len(kind)))] for _ in chosen] for kind in (self.cases, self.others)]
        images = [torch.from_numpy(np.stack([self._piece(case, rng) for case in cases])) for cases in drawn]
        return {"image": images[0], "other": images[1], "id": [case.id for case in drawn[0]]}

    def _piece(self, case: Case, rng: np.random.Generator) -> np.ndarray:
        above = [int(rng.integers(case.shape[0]))] if len(case.shape) == 3 else []  # a slice of a volume
        corner = corner_at_random(case.shape[-2:], self.patch, rng)
        piece = case.cut([*above, *corner], [*[1] * len(above), *self.patch])
        return piece.reshape(-1, *self.patch)


class UnpairedFoldersDataModule(PatientFoldersDataModule):
    """Unpaired images of two kinds, selected by `train_where` and `test_where`; the held-out fold is not trained on.

    Training and validation give `UnpairedBatches` of the patch of the plan in the plane, the test whole cases of the
    second kind with their masks.

    Args:
        root: As of `PatientFoldersDataModule`.
        slices: Slices of each kind in a batch; 1 in the paper.
        **options: Of `PatientFoldersDataModule`.

    Raises:
        ValueError: If `train_where` or `test_where` is missing.
    """

    def __init__(self, root: str | Path, *, slices: int = 1, **options: Any) -> None:
        super().__init__(root, **options)
        if slices < 1:
            raise ValueError(f"slices={slices}: a batch needs at least one of each kind")
        self.slices = slices
        if not self.train_where or not self.test_where:
            raise ValueError(
                "set datamodule.train_where and datamodule.test_where to columns that tell the two kinds apart"
            )
        self._others: dict[str, list[Case]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read all cases, once; those of the second kind need no masks.

        Raises:
            ValueError: If a kind has nobody to train on, or nobody held out.
        """
        super().setup(stage)
        if stage == "predict" or self._others or self._seen:
            return
        out = self._folds()
        self._others = {"train": [], "val": []}
        chosen = self._chosen(self.test_where)
        for split in self._others:
            cases = [case for case in chosen if (self._patient_of(case) in out) == (split == "val")]
            self._others[split] = self._read_all(cases[:2] if stage == "rehearse" else cases)
        for split in ("train", "val"):
            if not self._others[split] or not self._items[split]:
                raise ValueError(f"{self.root}: a kind has no {split} patient; give more, or other folds")
            if self._recorded:
                files = {case.id: case.files.images for case in self._others[split]}
                self._recorded.marks[split].update(*self.marks_of(files).values())

    @property
    def split(self) -> dict[str, list[str]]:
        """Ids of every split, of both kinds."""
        found = super().split
        return {name: [*ids, *(case.id for case in self._others.get(name, []))] for name, ids in found.items()}

    def empty_batch(self) -> dict[str, Any]:
        """Zeros of the shapes and types of a training batch; see `UnpairedBatches`."""
        image, other = torch.zeros(2, self.slices, self.in_channels, *self.patch_size[-2:])
        return {"image": image, "other": other, "id": [""] * self.slices}

    def train_dataloader(self) -> UnpairedBatches:
        """Random slices of both kinds."""
        return self._unpaired("train")

    def val_dataloader(self) -> UnpairedBatches:
        """Slices of the held-out fold, the same in each epoch."""
        return self._unpaired("val")

    def _unpaired(self, split: str) -> UnpairedBatches:
        return UnpairedBatches(
            self._items[split],
            self._others[split],
            self.patch_size[-2:],
            batches=self.batches if split == "train" else max(1, self.batches // 5),
            fixed=split == "val",
            batch_size=self.slices,
            seed=self.seed,
            **self.ranks,
        )
