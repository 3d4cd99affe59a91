"""Patches of unlabelled images, corrupted and original, for learning to restore them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from medzoo.datamodules.base import BaseDataModule
from medzoo.datamodules.batches import BatchOptions, Ranks, ResumableBatches
from medzoo.datamodules.io import read_json
from medzoo.datamodules.phantoms.phantom import Phantom
from medzoo.datamodules.seen import mark_file
from medzoo.datamodules.segmentation.batches import random_crop
from medzoo.datamodules.splits import held_out
from medzoo.datamodules.unlabelled.source import ImageFile, ImageSource

__all__ = ["CorruptedBatches", "Corruption", "UnlabelledDataModule"]

Corruption = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor, list[str]]]


class CorruptedBatches(ResumableBatches):
    """`{"image": (B, 1, *patch), "target": the same, "corruption": B words, "id": B names}`, float32 in [0, 1].

    In training, order and corruption change in each epoch; without `shuffle` every piece is given once and corrupted in
    the same way each time.

    Args:
        pieces: (N, 1, *patch) in [0, 1].
        ids: N names.
        corrupt: Maps a piece to the corrupted piece, its target and the names of the corruptions.
        shuffle: A new order in each epoch.
        **options: Of `ResumableBatches`.
    """

    def __init__(
        self, pieces: Tensor, ids: Sequence[str], corrupt: Corruption, *, shuffle: bool = False, **options: int
    ) -> None:
        super().__init__(**options)
        self.pieces, self.ids, self.corrupt, self.shuffle = pieces, list(ids), corrupt, shuffle

    def plan(self, epoch: int) -> list[Tensor]:
        """Indices of each batch; in training, as many for every rank."""
        if not self.shuffle:
            return self.ordered_plan(len(self.pieces))
        return self.shuffled_plan(len(self.pieces), epoch)

    def batch(self, chosen: Tensor, index: int) -> dict[str, Any]:
        """The pieces `chosen`; the corruption of a piece depends only on the seed, the epoch and the piece."""
        epoch = self.epoch + 1 if self.shuffle else 0
        made = [self.corrupt(self.pieces[i].float(), self.generator(epoch, i)) for i in chosen.tolist()]
        images, targets, done = zip(*made, strict=True)
        return {
            "image": torch.stack(images),
            "target": torch.stack(targets),
            "corruption": [", ".join(names) for names in done],
            "id": [self.ids[i] for i in chosen.tolist()],
        }


class UnlabelledDataModule(BaseDataModule):
    """Pieces cut at random places of volumes and pictures; the same ones in each epoch, as in Models Genesis.

    Volumes are cut into cubes, or with a two-sided patch into pieces of their slices. Validation and test use the
    held-out patients of `split`, since a later network should not be tested on patients seen here; without it, the
    first fold of each source. On other data than those of the training, all patients are tested. A source with fewer
    patients than folds is used for training only.

    Args:
        root: Folder that the patterns of the sources are below; of a phantom, the folder that holds its cohort.
        sources: Images of each kind, by name.
        patch: Voxels of a piece, z first; a smaller image is padded with 0.
        corrupt: Corrupts a piece.
        crops: Pieces of each file.
        batch_size: Pieces in a batch.
        split: The `split.json` of the run or stage that will train further: its `val` and `test` are held out.
        folds: Number of folds that the patients of a source are split into without `split`.
        phantom: Written to `root` where it is missing.
        seed: Seed of pieces, order and corruption.

    Raises:
        ValueError: If a number is out of range.
    """

    task = "restoration"

    def __init__(
        self,
        root: str | Path,
        *,
        sources: Mapping[str, ImageSource],
        patch: Sequence[int],
        corrupt: Corruption,
        crops: int = 32,
        batch_size: int = 6,
        split: str | Path | None = None,
        folds: int = 5,
        phantom: Phantom | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(root, phantom)
        if len(patch) not in (2, 3) or min(*patch, crops, batch_size) < 1:
            raise ValueError(
                f"patch={list(patch)} needs two or three sides; crops={crops}, batch_size={batch_size} at least 1"
            )
        if folds < 2:
            raise ValueError(f"folds={folds}: give at least 2")
        self.sources, self.patch, self.corrupt = dict(sources), tuple(patch), corrupt
        self.crops, self.batch_size, self.folds = crops, batch_size, folds
        self._split = None if split is None else Path(split)
        self.seed, self.image_shape = seed, (1, *patch)
        self._pieces: dict[str, Tensor] = {}
        self._ids: dict[str, list[str]] = {"train": [], "val": [], "test": []}

    @property
    def waiting(self) -> str:
        """The `split.json` of an earlier stage that is still missing."""
        if self._split is None or self._split.is_file():
            return ""
        return f"no file {self._split}: set datamodule.split to the split.json of a run, or to null"

    @property
    def patch_size(self) -> list[int]:
        """Voxels of a piece, as networks ask for it."""
        return list(self.patch)

    @property
    def split(self) -> dict[str, list[str]]:
        """Ids of the files of every split."""
        return {name: list(dict.fromkeys(ids)) for name, ids in self._ids.items() if ids}

    def fetch(self) -> None:
        """Write the phantom if it is missing; other images must exist."""
        if self.maker:
            super().fetch()
        for source in self.sources.values():
            source.find(self.root)

    def setup(self, stage: str | None = None) -> None:
        """Cut the pieces of all files, once.

        Raises:
            ValueError: If a file cannot be read, or no source has enough patients for folds.
        """
        if self._pieces:
            return
        chosen = self._chosen()
        if not self._seen and not any(split == "val" for *_, split in chosen):
            told = "nobody is left for validation; set datamodule.folds lower, or another split"
            raise ValueError(f"{self.root}: {told}")
        parts: dict[str, list[np.ndarray]] = {"train": [], "val": []} if not self._seen else {"test": []}
        files = track(chosen, "reading images", transient=True, disable=len(chosen) < 20)
        for number, (source, file, split) in enumerate(files):
            if not split:
                continue
            pieces = self._cut(source.read(file.path), np.random.default_rng((self.seed, number)))
            parts[split] += pieces
            self._ids[split] += [file.id] * len(pieces)
        # half precision: a cube of the published size in 0.3 MB, finer than the noise of any scanner
        self._pieces = {name: torch.from_numpy(np.stack(pieces).astype(np.float16)) for name, pieces in parts.items()}
        if not self._seen:
            self._pieces["test"], self._ids["test"] = self._pieces["val"], self._ids["val"]

    def loader(self, split: str, *, training: bool = False, **ranks: Unpack[Ranks]) -> CorruptedBatches:
        """Pieces; for training shuffled and corrupted again in each epoch. The test split is the validation split."""
        options: BatchOptions = {"batch_size": self.batch_size, "seed": self.seed, **(ranks or self.ranks)}
        return CorruptedBatches(self._pieces[split], self._ids[split], self.corrupt, shuffle=training, **options)

    def empty_batch(self) -> dict[str, Any]:
        """Zeros of the shapes and types of a training batch; see `CorruptedBatches`."""
        image, target = torch.zeros(2, self.batch_size, *self.image_shape)
        words = [""] * self.batch_size
        return {"image": image, "target": target, "corruption": words, "id": words}

    def _chosen(self) -> list[tuple[ImageSource, ImageFile, str]]:
        """Files with their splits; in the test of a checkpoint others have none, so that pieces are cut as before."""
        found = [
            (f"{name}/{file.patient}", source, file, split)
            for name, source in self.sources.items()
            for file, split in self._split_of(source)
        ]
        marks: dict[str, list[int]] = {}
        for patient, _, file, _ in found:
            marks.setdefault(patient, []).append(mark_file(file.path))

        def rule() -> dict[str, list[str]]:
            places = (("train", "train"), ("val", "val"), ("test", "val"))
            return {name: [*dict.fromkeys(one for one, *_, place in found if place == split)] for name, split in places}

        test = set(self.divide(marks, rule, self.root)["test"])
        if self._seen is None:
            return [(source, file, split) for _, source, file, split in found]
        return [(source, file, "test" if patient in test else "") for patient, source, file, _ in found]

    def _split_of(self, source: ImageSource) -> list[tuple[ImageFile, str]]:
        files = source.find(self.root)
        patients = {file.patient for file in files}
        if self._split is not None:
            ids = read_json(self._split).get("ids", {})
            names = {*ids.get("val", []), *ids.get("test", [])}
            matches = map(source.patient.fullmatch, names)
            out = names | {match.group(1) for match in matches if match}
        else:
            out = held_out(patients, 0, self.folds, self.root) if len(patients) >= self.folds else set()
        return [(file, "val" if file.patient in out else "train") for file in files]

    def _cut(self, image: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Pieces (1, *patch) at random places of an image (*spatial)."""
        if image.ndim < len(self.patch):
            raise ValueError(f"datamodule.patch={list(self.patch)}: pictures have two sides; give a patch of two")
        whole = (1,) * (image.ndim - len(self.patch)) + self.patch
        return [random_crop(image[None], whole, rng).reshape(1, *self.patch) for _ in range(self.crops)]
