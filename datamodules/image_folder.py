"""Images in class folders, or in a table that says their classes.

<root>/{train,val,test}/<class>/**/<image>    split as it lies there; without `val`, a share of the training
<root>/<class>/**/<image>                     split here, by patient
<root>/<table>                                a row for each image: its path below root, label, maybe patient and split
"""

import functools
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.in_memory import InMemoryDataModule, Split
from datamodules.io import Table, in_order, is_missing, listed, read_table
from datamodules.readers import ENDINGS, find_images, numbered, read_each
from datamodules.seen import SPLITS
from datamodules.segmentation.pictures import several_of_one_name
from datamodules.splits import by_share, stated

__all__ = ["ImageFolderDataModule"]

log = logging.getLogger(__name__)

_WORDS = {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "testing": "test",
    **{name: name for name in SPLITS},
}


@dataclass(frozen=True)
class _Row:
    file: Path
    labels: tuple[str, ...]
    patient: str
    split: str = ""


class ImageFolderDataModule(InMemoryDataModule):
    """Pictures and volumes of any size, brought to one; ids are paths below the root.

    Args:
        root: The folder.
        table: Name of a CSV, TSV or XLSX in it; null takes classes from the folders' names.
        path: Column of the paths.
        label: Column of the class; several columns of 0 and 1 are a label each.
        patient: Of a table, the column of the patient; of folders, a regular expression whose first group is the
            patient in the path below the class. Null: every image is a patient of its own.
        split: Column of `train`, `val` and `test`, used where there is one.
        class_names: In order, of two the one that is looked for last; null sorts those that are there.
        image_size: Pixels or voxels that images are brought to, linearly.
        channels: 1, or 3 for colour.
        window: Intensities of volumes that become 0 and 1, such as [-100, 300] HU; null stretches each image that is
            not of 8 bits.
        val_share: Of the patients, where no split is given.
        test_share: Likewise.
        split_seed: Of that draw.
        **options: Of `InMemoryDataModule`.

    Raises:
        ValueError: If a number is out of range, or classes are not those of the data.
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
        self.table, self.columns = table, {"path": path, "patient": patient, "split": split}
        self.labels = [label] if isinstance(label, str) else list(label)
        self.several = not isinstance(label, str)
        self.pattern = re.compile(patient) if patient and not table else None
        self.shares, self.split_seed = {"val": val_share, "test": test_share}, split_seed
        self.window = None if window is None else (float(window[0]), float(window[1]))
        self.root = Path(root)
        names = list(class_names) if class_names is not None else self._found_classes()
        super().__init__(root, task=self._task(len(names)), class_names=names, **options)
        self._image_shape = (channels, *image_size)
        self._patients: dict[str, str] = {}

    def read(self) -> dict[str, Split]:
        """All images, split by patient."""
        rows = self._rows
        found = read_each({name: row.file for name, row in rows.items()}, self.image_shape, window=self.window)
        parts: dict[str, list[tuple[str, _Row, np.ndarray]]] = {name: [] for name in SPLITS}
        places = self._places(rows)
        for name, images in found.items():
            for said, image in zip(numbered(name, len(images)), images, strict=True):
                self._patients[said] = rows[name].patient
                parts[places[name]].append((said, rows[name], image))
        splits = {name: self._split_of(part) for name, part in parts.items()}
        return self._divided(splits, self._patients.__getitem__, lambda _: None)

    def state_dict(self) -> dict[str, Any]:
        """What prediction needs to know of the training data, and the classes."""
        return {**super().state_dict(), "class_names": self.class_names, "task": self.task}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over `state_dict`; classes too, where there are no data that have some."""
        super().load_state_dict(state_dict)
        if not self.class_names:
            self.class_names, self.task = list(state_dict["class_names"]), state_dict["task"]

    def set_predict_input(self, path: str | Path) -> None:
        """Read what to predict on: an image, or a folder of them and of folders."""
        found = read_each(_by_path(Path(path)), self.image_shape, window=self.window)
        ids = [said for name, images in found.items() for said in numbered(name, len(images))]
        self._predict_on(ids, np.concatenate([*found.values()]))

    def _task(self, classes: int) -> Any:
        return "multilabel" if self.several else "binary" if classes == 2 else "multiclass"

    @functools.cached_property
    def _listed(self) -> Table:
        """The table."""
        return read_table(self.root / str(self.table))

    def _found_classes(self) -> list[str]:
        """Of the folders or the table; none where there are no data, as for a prediction elsewhere."""
        if self.several:
            return self.labels
        if not self.root.is_dir():
            return []
        if self.table:
            return sorted({row[self.labels[0]] for row in self._listed.rows} - {""}, key=in_order)
        tops = [folder for folder in listed(self.root) if folder.is_dir()]
        splits = [folder for folder in tops if folder.name.lower() in _WORDS]
        below = [folder for top in splits for folder in listed(top) if folder.is_dir()] if splits else tops
        return sorted({folder.name for folder in below}, key=in_order)

    @functools.cached_property
    def _rows(self) -> dict[str, _Row]:
        """Images by path below the root."""
        rows = self._listed_rows() if self.table else self._folder_rows()
        if not rows:
            raise ValueError(f"{self.root}: no image in a class folder; expected files ending in {', '.join(ENDINGS)}")
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
        split = any(folder.name.lower() in _WORDS for folder in listed(self.root) if folder.is_dir())
        rows = {}
        for name, file in _by_path(self.root).items():
            parts = file.relative_to(self.root).parts
            depth = 2 if split else 1
            if len(parts) <= depth or (split and parts[0].lower() not in _WORDS):
                raise ValueError(f"{file}: stands in no class folder; move it, or list images in a table")
            place = _WORDS[parts[0].lower()] if split else ""
            rows[name] = _Row(file, (parts[depth - 1],), self._patient_in("/".join(parts[depth:])), place)
        names = [Path(name).stem for name in rows]
        if self.pattern is None and (pattern := several_of_one_name(names)):
            log.warning(
                "%s: every image counts as a patient of its own; if names such as %s are of a patient's images, set "
                "datamodule.patient='%s'",
                self.root, names[0], pattern,
            )  # fmt: skip
        return rows

    def _patient_in(self, path: str) -> str:
        if self.pattern is None:
            return path
        short = re.sub(r"(\.nii)?\.[^./]+$", "", path)
        found = self.pattern.fullmatch(short)
        if found is None:
            raise ValueError(f"datamodule.patient={self.pattern.pattern!r} does not match {short}")
        return found.group(1)

    def _listed_rows(self) -> dict[str, _Row]:
        table = self._listed
        wanted = [self.columns["path"], *self.labels, *([self.columns["patient"]] if self.columns["patient"] else [])]
        table.need(*map(str, wanted))
        rows = {}
        for name, row in table.by(str(self.columns["path"])).items():
            if not (self.root / name).exists():
                raise FileNotFoundError(f"{row.where}: no file {self.root / name}")
            for column in self.labels:
                if is_missing(row[column]) and row[column] not in self.class_names:
                    raise ValueError(f"{row.where}: {column} is missing; fill it in, or delete the row")
            patient = row[str(self.columns["patient"])] if self.columns["patient"] else name
            split = row.get(str(self.columns["split"]), "")
            rows[name] = _Row(self.root / name, tuple(row[one] for one in self.labels), patient, split)
        return rows

    def _places(self, rows: dict[str, _Row]) -> dict[str, str]:
        """The split of each image: as it is given, or drawn by patient."""
        classes = {row.patient: row.labels for row in rows.values()}
        said: dict[str, str] = {}
        source = self.root / (self.table or "")
        for row in rows.values():
            if said.setdefault(row.patient, row.split) != row.split:
                raise ValueError(f"{source}: patient {row.patient} stands in {said[row.patient]} and in {row.split}")
        splits = stated(said, source)
        if splits is None and self._seen:
            splits = {"train": [], "val": [], "test": list(said)}
        elif splits is None:
            splits = by_share(classes, self.root, **self.shares, seed=self.split_seed)
        elif not splits["val"] and not self._seen:
            splits = self._with_validation(splits, classes)
        place = {patient: name for name, patients in splits.items() for patient in patients}
        return {name: place[row.patient] for name, row in rows.items()}

    def _with_validation(self, splits: dict[str, list[str]], classes: dict[str, Any]) -> dict[str, list[str]]:
        """A share of the training patients, where nobody is named."""
        share = self.shares["val"]
        log.info("%s: no validation images; %g of the training patients are taken", self.root, share)
        train = {one: classes[one] for one in splits["train"]}
        return {**by_share(train, self.root, val=share, test=0, seed=self.split_seed), "test": splits["test"]}

    def _split_of(self, part: list[tuple[str, _Row, np.ndarray]]) -> Split:
        ids = [name for name, *_ in part]
        images = np.stack([image for *_, image in part]) if part else np.zeros((0, *self.image_shape), np.uint8)
        if self.several:
            labels = np.array([[_flag(cell, self.root) for cell in row.labels] for _, row, _ in part], np.float32)
            return images, labels.reshape(len(ids), len(self.labels)), ids
        return images, np.array([self.class_names.index(row.labels[0]) for _, row, _ in part], np.int64), ids


def _by_path(path: Path) -> dict[str, Path]:
    """Images of a folder and those below it by their paths with endings, or the one image that is named."""
    folder = path if path.is_dir() else path.parent
    return {file.relative_to(folder).as_posix(): file for file in find_images(path, below=True).values()}


def _flag(cell: str, source: Path) -> float:
    if cell not in ("0", "1"):
        raise ValueError(f"{source}: label {cell!r}; expected 0 or 1")
    return float(cell)
