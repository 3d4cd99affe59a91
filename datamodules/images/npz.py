"""Image classification from one npz file in the layout of MedMNIST (see `npz_file.py`)."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from medzoo.datamodules.images.npz_file import image_shape, read_npz
from medzoo.datamodules.in_memory import InMemoryDataModule, Split, chosen_of
from medzoo.datamodules.seen import Seen, mark

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
        """Read the whole file."""
        arrays = read_npz(self.file, task=self.task, num_classes=self.num_classes)
        ids = {name: [f"{name}_{index:05d}" for index in range(len(labels))] for name, (_, labels) in arrays.items()}
        marks = {name: [mark(image) for image in images] for name, (images, _) in arrays.items()}
        splits = {name: (*pair, ids[name]) for name, pair in arrays.items()}
        if self._seen:
            return {**splits, "test": self._unseen(splits["test"], marks)}
        each = {one: [key] for name, names in ids.items() for one, key in zip(names, marks[name], strict=True)}
        self._recorded = Seen.of(each, ids)
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
