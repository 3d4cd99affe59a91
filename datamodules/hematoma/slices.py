"""Slices of bleeds that expand (HE) and that do not (NHE), as pictures in folders, split by patient.

<root>/{train,val,test}/{HE,NHE}/<patient>_{up,max,low}.png
<root>/{HE,NHE}/images_<size>/<patient>_{up,max,low}.png     without a split: a tenth of the patients each to val, test
<synthetic>/*.png                                            made-up slices with expansion, for training only
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.in_memory import InMemoryDataModule, Split, chosen_of, joined
from datamodules.io import listed
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
        if self._unsplit or (self._seen and self._folders()):
            return
        missing = [f"{split}/{name}" for split in SPLITS for name in CLASSES if not (self.root / split / name).is_dir()]
        if missing:
            raise FileNotFoundError(f"no folder {self.root / missing[0]}: datamodule.root needs {', '.join(missing)}")

    @property
    def waiting(self) -> str:
        """What is missing that another run, or an earlier stage, has to make; empty where nothing is."""
        if self.balance == "none" or self.synthetic is None or self.synthetic.is_dir():
            return ""
        return f"no folder {self.synthetic}: make synthetic slices first, or name another with datamodule.synthetic"

    def read_shape(self) -> tuple[int, ...]:
        """As asked for."""
        return self.shape

    def read(self) -> dict[str, Split]:
        """All pictures; a patient in two splits is an error."""
        said = self._read_unsplit() if self._unsplit else self._read_splits()
        said = self._divided(said, self.patient_of, self._check_patients)
        if len(said["train"][2]):
            said["train"] = self._with_synthetic(*said["train"])
        if self.expansion_only:
            return {split: chosen_of(labels == 1, images, labels, ids) for split, (images, labels, ids) in said.items()}
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
            raise ValueError(f"{self.root}: datamodule.patient={self.patient.pattern!r} does not match {name}")
        return found.group(1)

    def _check_patients(self, said: dict[str, Split]) -> None:
        slices = [(split, *pair) for split, (_, labels, ids) in said.items() for pair in zip(ids, labels, strict=True)]
        found = [(split, self.patient_of(name), int(label)) for split, name, label in slices]
        check_patients(self.root, found, CLASSES[1:] if self.expansion_only else CLASSES)

    def _folders(self) -> dict[tuple[str, str], Path]:
        """By split and class; those of other hospitals, to be tested, may lie in some of them alone."""
        places = {(split, name): self.root / split / name for split in SPLITS for name in CLASSES}
        if self._seen is None:
            return places
        return {key: folder for key, folder in places.items() if folder.is_dir() and listed(folder)}

    def _read_splits(self) -> dict[str, Split]:
        parts: dict[str, list[Split]] = {split: [] for split in SPLITS}
        for (split, name), folder in self._folders().items():
            ids, pictures = read_images(folder, self.shape)
            parts[split].append((pictures, np.full(len(ids), CLASSES.index(name)), ids))
        return {split: joined(part) for split, part in parts.items() if part}

    @property
    def _unsplit(self) -> dict[str, Path]:
        """Folders of the classes, where there is no split and all that are needed are there."""
        folders = {}
        for name in CLASSES[1:] if self.expansion_only else CLASSES:
            top = self.root / name
            if not top.is_dir():
                return {}
            sized = sorted(top.glob("images_*"), key=lambda folder: folder.name != f"images_{self.shape[1]}")
            folders[name] = sized[0] if sized else top
        return folders

    def _read_unsplit(self) -> dict[str, Split]:
        """Of the patients of each class, in an order that their names give, a tenth validate and a tenth test."""
        parts: dict[str, list[Split]] = {split: [] for split in SPLITS}
        for name, folder in self._unsplit.items():
            ids, pictures = read_images(folder, self.shape)
            patients = sorted({self.patient_of(one) for one in ids}, key=lambda one: sha256(one.encode()).digest())
            tenth = max(2, len(patients) // 10)
            places = {"val": patients[:tenth], "test": patients[tenth : 2 * tenth], "train": patients[2 * tenth :]}
            for split, chosen in places.items():
                mine = np.array([self.patient_of(one) in chosen for one in ids])
                parts[split].append(chosen_of(mine, pictures, np.full(len(ids), CLASSES.index(name)), ids))
        return {split: joined(part) for split, part in parts.items()}

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


def check_patients(source: Path, found: Iterable[tuple[str, str, int]], classes: Sequence[str] = CLASSES) -> None:
    """Refuse splits that nothing can be learnt from or measured on.

    Args:
        source: Where patients come from, for messages.
        found: Split, patient and label, a patient as often as you like.
        classes: Those of which every split needs two patients.

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
        for name in classes:
            count = sum(splits[one] == split and CLASSES[label] == name for one, label in labels.items())
            if count < 2:
                raise ValueError(
                    f"{source}: {count} patients of class {name} in {split}; two are needed, so split otherwise"
                )
