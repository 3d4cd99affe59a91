"""Image classification from one npz file in the layout of MedMNIST (see `npz_file.py`)."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from medzoo.datamodules.images.npz_file import check_npz, image_shape, split_of
from medzoo.datamodules.in_memory import InMemoryDataModule, Split, chosen_of
from medzoo.datamodules.seen import SPLITS, Seen
from medzoo.datamodules.store import StoredRows

__all__ = ["NPZDataModule"]

log = logging.getLogger(__name__)


class NPZDataModule(InMemoryDataModule):
    """Splits are those of the file, and ids are `<split>_<index>`.

    Another file than that of the training is tested on its test images too, as published, except those that occur in
    the training images.

    Args:
        file: The npz file.
        **options: Of `InMemoryDataModule`.
    """

    layout = "datamodule.file to an npz in the layout of MedMNIST"

    def __init__(self, file: str | Path, **options: Any) -> None:
        super().__init__(file, **options)

    @property
    def file(self) -> Path:
        """The npz file."""
        return self.root

    def read(self) -> dict[str, Split]:
        """The splits of the file, which is unpacked into the store once."""
        check_npz(self.file)
        jobs = [
            self.store.job(name, split_of, self.file, [self.file], (name, self.task, self.num_classes))
            for name in SPLITS
        ]
        entries = dict(zip(SPLITS, self.store.fill(jobs, self.file.name), strict=True))
        splits: dict[str, Split] = {}
        for name, entry in entries.items():
            labels = np.asarray(entry["labels"])
            splits[name] = StoredRows([entry]), labels, [f"{name}_{index:05d}" for index in range(len(labels))]
        marks = {name: np.asarray(entry["marks"]).tolist() for name, entry in entries.items()}
        if self._seen:
            return {**splits, "test": self._unseen(splits["test"], marks)}
        each = {one: [key] for name, (*_, ids) in splits.items() for one, key in zip(ids, marks[name], strict=True)}
        self._recorded = Seen.of(each, {name: ids for name, (*_, ids) in splits.items()})
        return splits

    def _unseen(self, test: Split, marks: dict[str, list[int]]) -> Split:
        """Test images of another file that were not trained on; for the training's own file all of them."""
        assert self._seen is not None
        if all(self._seen.marks[name] == set(found) for name, found in marks.items()):
            return test
        learnt = self._seen.marks["train"] | self._seen.marks["val"]
        new = np.array([key not in learnt for key in marks["test"]])
        if not new.any():
            raise ValueError(f"{self.file}: the model was trained on all of its test images; name another file")
        log.warning(
            "%s is not the file of the training: tested are %d of its test images (not train and val); "
            "%d stood in the training and are left out",
            self.file, new.sum(), (~new).sum(),
        )  # fmt: skip
        return chosen_of(new, *test)

    def read_shape(self) -> tuple[int, ...]:
        """Shape (C, *spatial) from the header of the file."""
        return image_shape(self.file)
