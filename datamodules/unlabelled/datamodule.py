"""Patches of unlabelled images, corrupted and original, for learning to restore them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from medzoo.datamodules.base import BaseDataModule
from medzoo.datamodules.batches import BatchOptions, Ranks, ResumableBatches
from medzoo.datamodules.io import read_json
from medzoo.datamodules.phantoms.phantom import Phantom
from medzoo.datamodules.splits import few, held_out
from medzoo.datamodules.unlabelled.pieces import Cut, Pieces, pieces_job
from medzoo.datamodules.unlabelled.source import ImageFile, ImageSource

__all__ = ["CorruptedBatches", "Corruption", "UnlabelledDataModule"]

Corruption = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor, list[str]]]


class CorruptedBatches(ResumableBatches):
    """`{"image": (B, 1, *patch), "target": the same, "corruption": B words, "id": B names}`, float32 in [0, 1].

    In training, order and corruption change in each epoch; without `shuffle` every piece is given once and corrupted in
    the same way each time.

    Args:
        files: Files with their pieces.
        corrupt: Maps a piece to the corrupted piece, its target and the names of the corruptions.
        shuffle: A new order in each epoch.
        **options: Of `ResumableBatches`.
    """

    def __init__(self, files: Sequence[Pieces], corrupt: Corruption, *, shuffle: bool = False, **options: int) -> None:
        super().__init__(**options)
        self.files, self.corrupt, self.shuffle = files, corrupt, shuffle
        self._items = [(number, place) for number, file in enumerate(files) for place in range(len(file.array))]

    def plan(self, epoch: int) -> list[Tensor]:
        """Indices of each batch; in training, as many for every rank."""
        if not self.shuffle:
            return self.ordered_plan(len(self._items))
        return self.shuffled_plan(len(self._items), epoch)

    def batch(self, chosen: Tensor, index: int, epoch: int) -> dict[str, Any]:
        """The pieces `chosen`; the corruption of a piece depends only on the seed, the epoch and the piece."""
        key = epoch + 1 if self.shuffle else 0
        made = [self.corrupt(self._piece(i), self.generator(key, i)) for i in chosen.tolist()]
        images, targets, done = zip(*made, strict=True)
        return {
            "image": torch.stack(images),
            "target": torch.stack(targets),
            "corruption": [", ".join(names) for names in done],
            "id": [self.files[self._items[i][0]].id for i in chosen.tolist()],
        }

    def _piece(self, index: int) -> Tensor:
        number, place = self._items[index]
        return torch.from_numpy(self.files[number].array[place]).float()


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

    def fetch(self) -> None:
        """Write the phantom if it is missing; other images must exist."""
        if self.maker:
            super().fetch()
        for source in self.sources.values():
            source.find(self.root)

    def setup(self, stage: str | None = None) -> None:
        """Cut the pieces of all files into the store, once.

        Raises:
            ValueError: If a file cannot be read, or no source has enough patients for folds.
        """
        if self._items:
            return
        chosen = [
            (source, file, Cut(self.patch, self.crops, (self.seed, number)), split)
            for number, (source, file, split) in enumerate(self._chosen())
        ]
        if not self._seen and not any(split == "val" for *_, split in chosen):
            told = "nobody is left for validation; set datamodule.folds lower, or another split"
            raise ValueError(f"{self.root}: {told}")
        items: dict[str, list[Pieces]] = {}
        for name in ("test",) if self._seen else ("train", "val"):
            files = [(source, file, cut) for source, file, cut, split in chosen if split == name]
            if stage == "rehearse":
                files = few(files, lambda one: one[0])  # of two sources
            entries = self.store.fill([pieces_job(self.store, *each) for each in files], "pieces of images")
            items[name] = [Pieces(one[1].id, each["pieces"]) for one, each in zip(files, entries, strict=True)]
        self._items = items if self._seen else items | {"test": items["val"]}

    def loader(self, split: str, *, training: bool = False, **ranks: Unpack[Ranks]) -> CorruptedBatches:
        """Pieces; for training shuffled and corrupted again in each epoch. The test split is the validation split."""
        options: BatchOptions = {"batch_size": self.batch_size, "seed": self.seed, **(ranks or self.ranks)}
        return CorruptedBatches(self._items[split], self.corrupt, shuffle=training, **options)

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
        files: dict[str, list[Path]] = {}
        for patient, _, file, _ in found:
            files.setdefault(patient, []).append(file.path)

        def rule() -> dict[str, list[str]]:
            places = (("train", "train"), ("val", "val"), ("test", "val"))
            return {name: [*dict.fromkeys(one for one, *_, place in found if place == split)] for name, split in places}

        test = set(self.divide(self.marks_of(files), rule, self.root)["test"])
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
