"""Slices of bleeds with (HE) and without expansion (NHE), as pictures in folders, split by patient.

<root>/{train,val,test}/{HE,NHE}/<patient>_{up,max,low}.png
<root>/{HE,NHE}/images_<size>/<patient>_{up,max,low}.png     without a split: a tenth of the patients each for val and
test <synthetic>/*.png                                            synthetic slices with expansion, for training only
"""

import re
from collections.abc import Hashable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medzoo.datamodules.hematoma.cohort import CLASSES
from medzoo.datamodules.in_memory import Images, InMemoryDataModule, Split, chosen_of, joined
from medzoo.datamodules.io import listed
from medzoo.datamodules.readers import read_images, resized, smallest_side
from medzoo.datamodules.seen import SPLITS
from medzoo.datamodules.splits import check_classes, patient_in
from medzoo.evaluation.measures.detail import with_noise

__all__ = ["HematomaSlicesDataModule"]

_SHARE = {"semibalanced": 2, "balanced": 1}  # ratio of slices without to those with expansion


class HematomaSlicesDataModule(InMemoryDataModule):
    """Grey slices labelled 1 for expansion; ids are `<patient>_<slice>`.

    Args:
        root: Folder in the layout above.
        image_size: H = W in pixels to bring slices to.
        resolution: H = W in pixels that all slices are reduced to first, those of tests and predictions too; None for
            none. With synthetic slices it is their size or less: a network could else tell them by their lack of
            detail, and take it for expansion.
        noise: Standard deviation, in units of full scale, of noise that all slices get at that resolution: it hides
            what a generator does not get right of the finest detail. `test/shortcut_auc` of the synthesis says how much
            is needed.
        channels: 1, or 3 for networks that take colour.
        balance: `none`; `semibalanced` adds synthetic slices until there are two slices without expansion for each one
            with it, `balanced` until there is one.
        synthetic: Folder of synthetic slices.
        expansion_only: Use only slices with expansion, to learn to generate them.
        patient: Regular expression whose first group is the patient in the name of a file.
        **options: Of `InMemoryDataModule`.

    Raises:
        ValueError: If a number is out of range, `balance` needs `synthetic` and it is missing, or synthetic slices have
            less detail than `resolution` lets through.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        image_size: int = 224,
        resolution: int | None = None,
        noise: float = 0.0,
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
        if resolution is not None and not 8 <= resolution <= image_size:
            raise ValueError(f"resolution={resolution} must lie between 8 and image_size={image_size}")
        self.shape = self._image_shape = (channels, image_size, image_size)
        if noise < 0:
            raise ValueError(f"noise={noise:g} must not be negative")
        self.resolution, self.noise = resolution, noise
        self.balance, self.patient = balance, re.compile(patient)
        self.expansion_only = expansion_only
        self.synthetic = None if synthetic is None else Path(synthetic)

    def fetch(self) -> None:
        """Check that the folders exist."""
        if self._unsplit or (self._seen and self._folders()):
            return
        missing = [f"{split}/{name}" for split in SPLITS for name in CLASSES if not (self.root / split / name).is_dir()]
        if missing:
            raise FileNotFoundError(f"no folder {self.root / missing[0]}: datamodule.root needs {', '.join(missing)}")

    @property
    def waiting(self) -> str:
        """The synthetic slices that another run or stage has yet to make; empty if none are missing."""
        if self.balance == "none" or self.synthetic is None or self.synthetic.is_dir():
            return ""
        return f"no folder {self.synthetic}: make synthetic slices first, or name another with datamodule.synthetic"

    def read(self) -> dict[str, Split]:
        """Read all pictures; a patient in two splits is an error."""
        splits = self.divided(self._read_folders(), self.patient_of, self._check_patients)
        if len(splits["train"][2]):
            splits["train"] = self._with_synthetic(*splits["train"])
        if self.expansion_only:
            return {
                split: chosen_of(labels == 1, images, labels, ids) for split, (images, labels, ids) in splits.items()
            }
        return splits

    def _check_classes(self) -> None:
        if not self.expansion_only:
            super()._check_classes()

    def patient_of(self, name: str) -> str:
        """The patient in the id of a slice."""
        unmatched = f"{self.root}: datamodule.patient={self.patient.pattern!r} does not match {name}"
        return patient_in(name, self.patient, unmatched)

    def _check_patients(self, given: dict[str, Split]) -> None:
        """Check that a patient has one class, and every split two patients of each class to learn."""
        classes: dict[str, int] = {}
        splits: dict[str, list[str]] = {}
        for split, (_, labels, ids) in given.items():
            splits[split] = list(dict.fromkeys(map(self.patient_of, ids)))
            for patient, label in zip(map(self.patient_of, ids), labels.tolist(), strict=True):
                if classes.setdefault(patient, label) != label:
                    raise ValueError(f"{self.root}: patient {patient} is in both {' and '.join(CLASSES)}")
        needed: dict[Hashable, str] = {1: CLASSES[1]} if self.expansion_only else dict(enumerate(CLASSES))
        check_classes(splits, classes, needed, self.root)

    def _folders(self) -> dict[tuple[str, str], Path]:
        """Folders by split and class; another cohort, for a test, need not have all of them."""
        places = {(split, name): self.root / split / name for split in SPLITS for name in CLASSES}
        if self._seen is None:
            return places
        return {key: folder for key, folder in places.items() if folder.is_dir() and listed(folder)}

    @property
    def _unsplit(self) -> dict[str, Path]:
        """Folders of the classes if there is no split and all needed folders exist; else empty."""
        folders = {}
        for name in CLASSES[1:] if self.expansion_only else CLASSES:
            top = self.root / name
            if not top.is_dir():
                return {}
            sized = sorted(top.glob("images_*"), key=lambda folder: folder.name != f"images_{self.shape[1]}")
            folders[name] = sized[0] if sized else top
        return folders

    def _read_folders(self) -> dict[str, Split]:
        parts: dict[str, list[Split]] = {split: [] for split in SPLITS}
        unsplit = {("", name): folder for name, folder in self._unsplit.items()}
        for (split, name), folder in (unsplit or self._folders()).items():
            ids, pictures = self._pictures(folder)
            labels = np.full(len(ids), CLASSES.index(name))
            if split:
                parts[split].append((pictures, labels, ids))
                continue
            patients = [self.patient_of(one) for one in ids]
            for place, chosen in _tenths(patients).items():
                mine = np.array([patient in chosen for patient in patients])
                parts[place].append(chosen_of(mine, pictures, labels, ids))
        return {split: joined(part) for split, part in parts.items() if part}

    def set_predict_input(self, path: str | Path) -> None:
        """As the base class, with the detail of the training slices."""
        self._predict_on(*self._pictures(Path(path), below=True))

    def _pictures(self, path: Path, *, below: bool = False) -> tuple[list[str], np.ndarray]:
        """Ids and images (N, *shape) of a folder, reduced to `resolution` first, with `noise`."""
        side = self.resolution or self.shape[1]
        ids, images = read_images(path, (self.shape[0], side, side), below=below)
        images = with_noise(images, self.noise)
        return ids, images if side == self.shape[1] else resized(images, self.shape[1:])

    def _with_synthetic(self, images: Images, labels: np.ndarray, ids: list[str]) -> Split:
        wanted = 0 if self.balance == "none" else int((labels == 0).sum()) // _SHARE[self.balance] - int(labels.sum())
        if wanted <= 0 or self.synthetic is None:
            return images, labels, ids
        side, real = smallest_side(self.synthetic), self.resolution or self.shape[1]
        if side < real:
            raise ValueError(
                f"{self.synthetic}: slices of {side} pixels among real ones of {real} could be told apart by their "
                f"detail alone: set datamodule.resolution={side}"
            )
        names, pictures = self._pictures(self.synthetic)
        if len(names) < wanted:
            raise ValueError(
                f"balance={self.balance} needs {wanted} synthetic slices, {self.synthetic} has {len(names)}"
            )
        added = [f"synthetic_{name}" for name in names[:wanted]]
        return np.concatenate([np.asarray(images), pictures[:wanted]]), np.append(labels, [1] * wanted), [*ids, *added]


def _tenths(patients: Iterable[str]) -> dict[str, list[str]]:
    """Split the patients of a class by a hash of their names: a tenth each for validation and test."""
    ordered = sorted(set(patients), key=lambda one: sha256(one.encode()).digest())
    tenth = max(2, len(ordered) // 10)
    return {"val": ordered[:tenth], "test": ordered[tenth : 2 * tenth], "train": ordered[2 * tenth :]}
