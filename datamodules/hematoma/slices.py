"""Slices of bleeds that expand (HE) and that do not (NHE), as pictures in folders, split by patient.

<root>/{train,val,test}/{HE,NHE}/<patient>_{up,max,low}.png
<synthetic>/*.png                                            made-up slices with expansion, for training only
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.in_memory import InMemoryDataModule, Split
from datamodules.readers import read_images

__all__ = ["CLASSES", "SPLITS", "HematomaSlicesDataModule", "check_patients"]

CLASSES = ("NHE", "HE")
SPLITS = ("train", "val", "test")
_SHARE = {"semibalanced": 2, "balanced": 1}  # slices without expansion for each one with it


class HematomaSlicesDataModule(InMemoryDataModule):
    """Grey slices with the label 1 for expansion; ids are `<patient>_<slice>`.

    Args:
        root: Folder in the layout above.
        image_size: H = W in pixels to bring slices to.
        channels: 1, or 3 where a network wants grey as colour.
        balance: `none`; `semibalanced` adds synthetic slices until there are two without expansion for each one with
            it, `balanced` until there is one.
        synthetic: Folder of synthetic slices.
        expansion_only: Leave out slices without expansion, to learn what the others look like.
        patient: Regular expression whose first group is the patient in the name of a file.
        **options: Of `InMemoryDataModule`.

    Raises:
        ValueError: If a number is out of range, or slices are to be added and no folder is named.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        image_size: int = 224,
        channels: int = 1,
        balance: Literal["none", "semibalanced", "balanced"] = "none",
        synthetic: str | Path | None = None,
        expansion_only: bool = False,
        patient: str = "(.*)_(?:up|max|low)",
        **options: Any,
    ) -> None:
        super().__init__(root, task="binary", class_names=list(CLASSES), **options)
        if balance != "none" and synthetic is None:
            raise ValueError(f"balance={balance} adds synthetic slices: set datamodule.synthetic to their folder")
        if channels not in (1, 3) or image_size < 8:
            raise ValueError(f"channels={channels} must be 1 or 3, and image_size={image_size} at least 8")
        self.shape, self.balance, self.patient = (channels, image_size, image_size), balance, re.compile(patient)
        self.expansion_only = expansion_only
        self.synthetic = None if synthetic is None else Path(synthetic)

    def fetch(self) -> None:
        """A user's own slices must be there already."""
        missing = [
            f"{split}/{name}" for split in SPLITS for name in CLASSES if not (self.source / split / name).is_dir()
        ]
        if missing:
            raise FileNotFoundError(f"no folder {self.source / missing[0]}: datamodule.root needs {', '.join(missing)}")

    def read_shape(self) -> tuple[int, ...]:
        """As asked for."""
        return self.shape

    def read(self) -> dict[str, Split]:
        """All pictures; a patient in two splits is an error."""
        said = {split: self._read_split(split) for split in SPLITS}
        slices = [(split, *pair) for split, (_, labels, ids) in said.items() for pair in zip(ids, labels, strict=True)]
        check_patients(self.source, [(split, self.patient_of(name), int(label)) for split, name, label in slices])
        said["train"] = self._with_synthetic(*said["train"])
        if self.expansion_only:
            return {split: _chosen(labels == 1, images, labels, ids) for split, (images, labels, ids) in said.items()}
        return said

    def plain(self, split: str) -> Iterator[dict[str, Any]]:
        """Images (B, C, H, W) in [0, 1], once and in order, with their ids."""
        for batch in self._batches(split):
            yield {"image": batch["image"] * self.std + self.mean, "id": batch["id"]}

    def _check_classes(self) -> None:
        if not self.expansion_only:
            super()._check_classes()

    def patient_of(self, name: str) -> str:
        """The patient in the id of a slice."""
        found = self.patient.fullmatch(name)
        if found is None:
            raise ValueError(f"{self.source}: datamodule.patient={self.patient.pattern!r} does not match {name}")
        return found.group(1)

    def _read_split(self, split: str) -> Split:
        images, labels, ids = [], [], []
        for label, name in enumerate(CLASSES):
            names, pictures = read_images(self.source / split / name, self.shape)
            images.append(pictures)
            labels += [label] * len(names)
            ids += names
        return np.concatenate(images), np.array(labels, np.int64), ids

    def _with_synthetic(self, images: np.ndarray, labels: np.ndarray, ids: list[str]) -> Split:
        wanted = 0 if self.balance == "none" else int((labels == 0).sum()) // _SHARE[self.balance] - int(labels.sum())
        if wanted <= 0 or self.synthetic is None:
            return images, labels, ids
        names, pictures = read_images(self.synthetic, self.shape)
        if len(names) < wanted:
            raise ValueError(
                f"balance={self.balance} needs {wanted} synthetic slices, {self.synthetic} has {len(names)}"
            )
        added = [f"synthetic_{name}" for name in names[:wanted]]
        return np.concatenate([images, pictures[:wanted]]), np.append(labels, [1] * wanted), [*ids, *added]


def check_patients(source: Path, found: Iterable[tuple[str, str, int]]) -> None:
    """Refuse splits that nothing can be learnt from or measured on.

    Args:
        source: Where patients come from, for messages.
        found: Split, patient and label, a patient as often as you like.

    Raises:
        ValueError: If a patient is in two splits or has two labels, or a split has fewer than two patients of a class.
    """
    splits: dict[str, str] = {}
    labels: dict[str, int] = {}
    for split, patient, label in found:
        if splits.setdefault(patient, split) != split:
            raise ValueError(f"{source}: patient {patient} stands in {splits[patient]} and in {split}")
        if labels.setdefault(patient, label) != label:
            raise ValueError(f"{source}: patient {patient} stands in {' and in '.join(CLASSES)}")
    for split in SPLITS:
        for label, name in enumerate(CLASSES):
            count = sum(splits[patient] == split and labels[patient] == label for patient in splits)
            if count < 2:
                raise ValueError(
                    f"{source}: {count} patients of class {name} in {split}; two are needed, so split otherwise"
                )


def _chosen(chosen: np.ndarray, images: np.ndarray, labels: np.ndarray, ids: list[str]) -> Split:
    return images[chosen], labels[chosen], [name for name, kept in zip(ids, chosen, strict=True) if kept]
