"""Images in class folders, or listed with their classes in a table.

<root>/{train,val,test}/<class>/**/<image>    split by folder; without `val`, a share of the training is used
<root>/<class>/**/<image>                     split here, by patient
<root>/<table>                                a row for each image: path below root, label, optional patient and split

An image is a file or, for volumes, a folder with one DICOM series.
"""

import functools
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from medzoo.datamodules.in_memory import InMemoryDataModule, Split, Task, chosen_of
from medzoo.datamodules.io import Table, in_order, is_missing, listed, read_table, setting
from medzoo.datamodules.readers import ENDINGS, find_images, numbered, read_each
from medzoo.datamodules.seen import SPLITS, mark
from medzoo.datamodules.segmentation.pictures import several_of_one_name
from medzoo.datamodules.splits import by_share, patient_in, stated
from medzoo.datamodules.store import Made, StoredRows

__all__ = ["SPLIT_WORDS", "ImageFolderDataModule", "without_ending"]

log = logging.getLogger(__name__)

_AT_ONCE = 256  # images of an entry of the store

SPLIT_WORDS = {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
    **{name: name for name in SPLITS},
}
"""Folder names (in lower case) that mean a split."""


@dataclass(frozen=True)
class _Row:
    file: Path
    labels: tuple[str, ...]
    patient: str
    split: str = ""


class ImageFolderDataModule(InMemoryDataModule):
    """Pictures and volumes of any size, including DICOM, resized to one; ids are paths below the root.

    Args:
        root: The folder.
        table: Name of a CSV, TSV or XLSX in it; null takes classes from the folders' names.
        path: Column of the paths.
        label: Column of the class; several columns of 0 and 1 are one label each.
        patient: With a table, the column of the patient; with folders, a regular expression whose first group is the
            patient in the path below the class. Null: every image is a patient of its own.
        split: Column of `train`, `val` and `test`, if there is one.
        class_names: Classes in order, with the positive class of two last; null sorts the classes found.
        image_size: Pixels or voxels that images are brought to, linearly.
        channels: 1, or 3 for colour.
        window: Intensities of volumes and DICOM that become 0 and 1, such as [-100, 300] HU; null stretches each image
            that is not 8-bit.
        val_share: Share of the patients for validation, if no split is given.
        test_share: Share of the patients for the test, if no split is given.
        split_seed: Seed of that split.
        **options: Of `InMemoryDataModule`.

    Raises:
        ValueError: If a number is out of range, or the classes do not match the data.
    """

    layout = "datamodule.root to a folder of images in class folders"

    def __init__(
        self,
        root: str | Path,
        *,
        table: str | None = None,
        path: str = "path",
        label: str | Sequence[str] = "label",
        patient: str | None = None,
        split: str = "split",
        class_names: Sequence[str] | None = None,
        image_size: Sequence[int] = (224, 224),
        channels: int = 1,
        window: Sequence[float] | None = None,
        val_share: float = 0.1,
        test_share: float = 0.2,
        split_seed: int = 0,
        **options: Any,
    ) -> None:
        if not (val_share > 0 and test_share > 0 and val_share + test_share < 1):
            raise ValueError(f"val_share={val_share} and test_share={test_share} leave no share for training")
        if channels not in (1, 3) or len(image_size) not in (2, 3) or min(image_size) < 8:
            raise ValueError(
                f"channels={channels} must be 1 or 3, image_size={list(image_size)} two or three from 8 on"
            )
        if window is not None and not (len(window) == 2 and window[0] < window[1]):
            raise ValueError(f"window={list(window)}: expected two numbers, the lower first")
        self.table, self.columns = table, (path, patient or path, split)
        self.labels = [label] if isinstance(label, str) else list(label)
        self.several = not isinstance(label, str)
        self.pattern = re.compile(patient) if patient and not table else None
        self.shares, self.split_seed = {"val": val_share, "test": test_share}, split_seed
        self.window = None if window is None else (float(window[0]), float(window[1]))
        self.root = Path(root)
        names = list(class_names) if class_names is not None else self._found_classes()
        super().__init__(root, task=self._task(len(names)), class_names=names, **options)
        self._image_shape = (channels, *image_size)

    def read(self) -> dict[str, Split]:
        """All images, split by patient."""
        rows = self._rows
        files = [(name, row.file) for name, row in rows.items()]
        parts = [dict(files[start : start + _AT_ONCE]) for start in range(0, len(files), _AT_ONCE)]
        how = (self.image_shape, self.window)
        jobs = [self.store.job(f"{min(part)} to {max(part)}", images_of, part, part.values(), how) for part in parts]
        entries = self.store.fill(jobs, f"parts of {_AT_ONCE} images")
        images = StoredRows(entries)
        counts = zip(rows, (count for entry in entries for count in entry.facts["counts"]), strict=True)
        owners = [name for name, count in counts for _ in range(count)]
        ids = [one for name, group in groupby(owners) for one in numbered(name, len([*group]))]
        self._patients = {one: rows[name].patient for one, name in zip(ids, owners, strict=True)}
        labels = np.array([self._label(rows[name]) for name in owners])
        places = self._places()
        split = np.array([places[name] for name in owners])
        splits = {name: chosen_of(split == name, images, labels, ids) for name in SPLITS}
        return self.divided(splits, self._patients.__getitem__)

    def state_dict(self) -> dict[str, Any]:
        """What prediction needs from the training data, and the classes."""
        return {**super().state_dict(), "class_names": self.class_names, "task": self.task}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load `state_dict`, including the classes if the data define none."""
        super().load_state_dict(state_dict)
        if not self.class_names:
            self.class_names, self.task = list(state_dict["class_names"]), state_dict["task"]

    def set_predict_input(self, path: str | Path) -> None:
        """Read an image to predict, or all images of a folder and its subfolders."""
        self._predict_on(*_joined(read_each(_by_path(Path(path), self._axes), self.image_shape, window=self.window)))

    @property
    def _axes(self) -> int:
        return len(self.image_shape) - 1

    def _task(self, classes: int) -> Task:
        return "multilabel" if self.several else "binary" if classes == 2 else "multiclass"

    @functools.cached_property
    def _listed(self) -> Table:
        """The table."""
        return read_table(self.root / str(self.table))

    def _found_classes(self) -> list[str]:
        """Classes of the folders or the table; empty without data, as for prediction elsewhere."""
        if self.several:
            return self.labels
        if not self.root.is_dir():
            return []
        if self.table:
            values = {row[self.labels[0]] for row in self._listed.rows}
            return sorted({label for label in values if not is_missing(label)}, key=in_order)
        tops = [folder for folder in listed(self.root) if folder.is_dir()]
        splits = [folder for folder in tops if folder.name.lower() in SPLIT_WORDS]
        below = [folder for top in splits for folder in listed(top) if folder.is_dir()] if splits else tops
        return sorted({folder.name for folder in below}, key=in_order)

    @functools.cached_property
    def _rows(self) -> dict[str, _Row]:
        """Images by path below the root."""
        rows = self._listed_rows() if self.table else self._folder_rows()
        if not rows:
            raise ValueError(
                f"{self.root}: no image in a class folder; expected files ending in {', '.join(ENDINGS)}, or DICOM"
            )
        for name, row in rows.items():
            if not self.several and row.labels[0] not in self.class_names:
                raise ValueError(f"{self.root / name}: class {row.labels[0]!r}; the classes are {self.class_names}")
        log.info(
            "%s: %d images of %d patients, %s",
            self.root, len(rows), len({row.patient for row in rows.values()}),
            ", ".join(f"{sum(row.labels[0] == name for row in rows.values())} {name}" for name in self.class_names)
            if not self.several else f"{len(self.labels)} labels",
        )  # fmt: skip
        return rows

    def _folder_rows(self) -> dict[str, _Row]:
        split = any(folder.name.lower() in SPLIT_WORDS for folder in listed(self.root) if folder.is_dir())
        rows = {}
        for name, file in _by_path(self.root, self._axes).items():
            parts = file.relative_to(self.root).parts
            depth = 2 if split else 1
            if len(parts) <= depth or (split and parts[0].lower() not in SPLIT_WORDS):
                raise ValueError(
                    f"{file}: is not in a class folder; move it (of DICOM volumes, each has a folder in it), or list "
                    "images in a table"
                )
            place = SPLIT_WORDS[parts[0].lower()] if split else ""
            below = "/".join(parts[depth:])
            short = below if file.is_dir() else without_ending(below)
            patient = patient_in(short, self.pattern) if self.pattern else name
            rows[name] = _Row(file, (parts[depth - 1],), patient, place)
        names = [Path(name).stem for name in rows]
        if self.pattern is None and (pattern := several_of_one_name(names)):
            log.warning(
                "%s: every image counts as a patient of its own; if names such as %s are of a patient's images, set %s",
                self.root, names[0], setting("datamodule.patient", pattern),
            )  # fmt: skip
        return rows

    def _listed_rows(self) -> dict[str, _Row]:
        table, (path, patient, split) = self._listed, self.columns
        table.need(*dict.fromkeys((path, *self.labels, patient)))
        rows = {}
        for name, row in table.by(path).items():
            if not (self.root / name).exists():
                raise FileNotFoundError(f"{row.where}: no file {self.root / name}")
            for column in (*self.labels, patient):
                if is_missing(row[column]) and not (column in self.labels and row[column] in self.class_names):
                    raise ValueError(f"{row.where}: {column} is missing; fill it in, or delete the row")
            if self.several and (wrong := [column for column in self.labels if row[column] not in ("0", "1")]):
                raise ValueError(f"{row.where}: {wrong[0]} is '{row[wrong[0]]}'; expected 0 or 1")
            labels = tuple(row[one] for one in self.labels)
            rows[name] = _Row(self.root / name, labels, row[patient], row.get(split, ""))
        return rows

    def _places(self) -> dict[str, str]:
        """The split of each image: as given, or drawn by patient."""
        rows = self._rows
        classes = {row.patient: row.labels for row in rows.values()}
        given: dict[str, str] = {}
        source = self.root / (self.table or "")
        for row in rows.values():
            if given.setdefault(row.patient, row.split) != row.split:
                raise ValueError(f"{source}: patient {row.patient} is in both {given[row.patient]} and {row.split}")
        splits = stated(given, source)
        if splits is None and self._seen:
            splits = {"train": [], "val": [], "test": list(given)}
        elif splits is None:
            splits = by_share(classes, self.root, **self.shares, seed=self.split_seed)
        elif not splits["val"] and not self._seen:
            splits = self._with_validation(splits, classes)
        place = {patient: name for name, patients in splits.items() for patient in patients}
        return {name: place[row.patient] for name, row in rows.items()}

    def _with_validation(self, splits: dict[str, list[str]], classes: dict[str, Any]) -> dict[str, list[str]]:
        """Take a share of the training patients for validation, if there is none."""
        share = self.shares["val"]
        log.info("%s: no validation images; %g of the training patients are taken", self.root, share)
        train = {one: classes[one] for one in splits["train"]}
        return {**by_share(train, self.root, val=share, test=0, seed=self.split_seed), "test": splits["test"]}

    def _label(self, row: _Row) -> np.int64 | np.ndarray:
        """The class of a row, or (L,) float32 of several labels."""
        if not self.several:
            return np.int64(self.class_names.index(row.labels[0]))
        return np.array(row.labels, np.float32)


def images_of(files: dict[str, Path], how: tuple[tuple[int, ...], tuple[float, float] | None]) -> Made:
    """The images of some files, their hashes, and how many each file holds."""
    shape, window = how
    found = read_each(files, shape, window=window)
    images = np.concatenate([*found.values()])
    counts = [len(each) for each in found.values()]
    return Made({"images": images, "marks": np.array([mark(image) for image in images])}, {"counts": counts})


def _joined(found: dict[str, np.ndarray]) -> tuple[list[str], np.ndarray]:
    """Ids of the images of all files, and the images."""
    ids = [one for name, images in found.items() for one in numbered(name, len(images))]
    return ids, np.concatenate([*found.values()])


def without_ending(path: str) -> str:
    """A path without its ending, as patterns of patients see it."""
    return re.sub(r"(\.nii)?\.[^./]+$", "", path)


def _by_path(path: Path, axes: int) -> dict[str, Path]:
    """Images of a folder and its subfolders by path with ending, or one named image."""
    files = find_images(path, axes, below=True).values()
    return {file.relative_to(path.parent if file == path else path).as_posix(): file for file in files}
