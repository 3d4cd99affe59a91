"""Cases with label maps: their labels and channels matched to a model, their patients, and folds."""

import functools
import logging
import re
from collections.abc import Sequence

import numpy as np

from medzoo.datamodules.base import BaseDataModule
from medzoo.datamodules.io import setting
from medzoo.datamodules.io.pictures.pages import is_picture
from medzoo.datamodules.seen import matched
from medzoo.datamodules.segmentation.files import UNNAMED, CaseFiles, DatasetFiles, read_dataset
from medzoo.datamodules.segmentation.labels import Labels
from medzoo.datamodules.segmentation.pictures import alike, listed, read_pictures, several_of_one_name
from medzoo.datamodules.splits import held_out, patient_in

__all__ = ["MatchedCases"]

log = logging.getLogger(__name__)


class MatchedCases(BaseDataModule):
    """The part of a datamodule of cases that opens no image; see `BaseDataModule`."""

    fold: int
    folds: int
    labelled: float
    seed: int
    patient: re.Pattern[str] | None
    _classes: Sequence[str] | None
    _colours: Sequence[tuple[int, int, int]] = ()
    _channels: Sequence[str] | None
    _known_classes: tuple[str, ...] = ()
    _labels: list[int] | None = None
    _images: list[int] | None = None

    @functools.cached_property
    def files(self) -> DatasetFiles:
        """Cases of the folder, after fetching it or writing its phantom."""
        self.fetch()
        if (self.root / "images").is_dir() and not (self.root / "dataset.json").is_file():
            return read_pictures(self.root, self._classes or (), self._colours)
        if self._colours:
            raise ValueError(f"{self.root}: colours of datamodule.classes are for masks in masks/; name classes alone")
        return read_dataset(self.root)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by label value, or of regions; the first is the background."""
        return tuple(self._known_classes or self._state.get("classes") or self._data_classes)

    @property
    def labels(self) -> Labels:
        """Meaning of label values, by `dataset.json` if there is one."""
        labels = self.files.labels if (self.root / "dataset.json").is_file() else None
        return labels or Labels(tuple(self.class_names))

    @property
    def regions(self) -> list[list[int]] | None:
        """Label values of each region; None if labels are classes."""
        return [list(values) for values in self.labels.regions] or self._state.get("regions")

    @property
    def regions_class_order(self) -> list[int] | None:
        """Label value that each region is written as; None without regions."""
        return list(self.labels.order) or None

    @property
    def ignore(self) -> int | None:
        """Label value of voxels that are not annotated, ignored in losses, scores and predictions; else None."""
        return self.labels.ignore

    @property
    def num_classes(self) -> int:
        """Number of outputs of a network per voxel: the background and each class, or each region."""
        regions = self.regions
        if regions and len(regions) != len(self.class_names) - 1:
            raise ValueError(
                f"{self.root / 'dataset.json'}: its labels are the regions {', '.join(self.labels.names[1:])}, but "
                f"datamodule.classes={list(self.class_names)}; set that to null"
            )
        return len(self.class_names) - bool(regions)

    def use_classes(self, names: Sequence[str]) -> None:
        """Map label values and channels to those of a model; see `BaseDataModule`.

        The one unnamed class of binary masks matches a model with one class.
        """
        self._known_classes = tuple(names)
        try:
            data, model = list(self._data_classes), list(names)
        except FileNotFoundError:  # prediction works without the training data
            return
        if UNNAMED in (data, model) and len(data) == len(model) == 2:
            data = model
        order = matched(data, model, "classes")
        if order[0] != 0:
            raise ValueError(f"{self.root}: label 0 is {data[0]}, but {model[0]} is the background of the model")
        declared = [list(values) for values in self.labels.regions]
        if (self.root / "dataset.json").is_file() and (
            declared != self._state.get("regions", []) or (declared and order != sorted(order))
        ):
            raise ValueError(f"{self.root / 'dataset.json'}: its regions are not those of the model, in that order")
        self._labels = None if order == list(range(len(order))) else order
        self._match_channels(self._state.get("channels"))

    @property
    def _order(self) -> list[int] | None:
        """Label value of the model by that of the file; `ignore` stays the highest."""
        return self._labels and [*self._labels, *([] if self.ignore is None else [self.ignore])]

    def _match_channels(self, model: Sequence[str] | None) -> None:
        data = list(self._data_channels)
        if model is None or (len(model) == len(data) == 1):  # a single channel has no order
            return
        order = matched(data, model, "channels")
        self._images = None if order == list(range(len(order))) else [order.index(k) for k in range(len(order))]

    @property
    def _data_classes(self) -> Sequence[str]:
        return self._classes or self.files.classes

    @property
    def _data_channels(self) -> Sequence[str]:
        return self._channels or self.files.channels

    def _split(self) -> dict[str, list[CaseFiles]]:
        """Cases of each split: of the fold, or for the test of a checkpoint."""
        cases: dict[str, list[CaseFiles]] = {}
        for case in self.with_masks:
            cases.setdefault(self._patient_of(case), []).append(case)
        found: dict[str, list[CaseFiles]] = {}

        def rule() -> dict[str, list[str]]:
            found.update(self._fold_cases())
            return {name: list(dict.fromkeys(map(self._patient_of, each))) for name, each in found.items()}

        marks = self.marks_of({one: [file for case in each for file in case.images] for one, each in cases.items()})
        splits = self.divide(marks, rule, self.root)
        if self._seen is None:
            return found
        found.setdefault("train", [])
        found.setdefault("val", [])
        return {**found, "test": self._wanted([case for one in splits["test"] for case in cases[one]])}

    def _fold_cases(self) -> dict[str, list[CaseFiles]]:
        """Cases of each split for training."""
        files, parts = self.files, self._folds()
        for key, given in (("classes", self._classes), ("channels", self._channels)):
            known = getattr(files, key)
            if given and list(given) != list(known):
                kind = "regions" if self.regions and key == "classes" else "those"
                where = self.root / "dataset.json" if files.labels else self.root
                raise ValueError(f"datamodule.{key}={list(given)}, but {kind} of {where} are {list(known)}")
        train = self._labelled([case for case in files.train if self._patient_of(case) not in parts])
        val = [case for case in files.train if self._patient_of(case) in parts]
        return {"train": train, "val": val, "test": list(files.test) or val}

    def _labelled(self, train: list[CaseFiles]) -> list[CaseFiles]:
        """Cases of the share `labelled` of the patients."""
        if self.labelled == 1:
            return train
        patients = sorted({self._patient_of(case) for case in train})
        order = np.random.default_rng(self.seed).permutation(len(patients))
        used = {patients[index] for index in order[: max(1, round(self.labelled * len(patients)))]}
        return [case for case in train if self._patient_of(case) in used]

    def _folds(self) -> set[str]:
        """Patients of the validation fold."""
        patients = sorted({self._patient_of(case) for case in self.files.train})
        self._tell_patients(len(patients))
        out = held_out(patients, self.fold, self.folds, self.root)
        if both := set(patients) & set(map(self._patient_of, self.files.test)):
            raise ValueError(f"{self.root}: patient {sorted(both)[0]} is in both imagesTr and imagesTs")
        return out

    def _tell_patients(self, count: int) -> None:
        """Warn that every picture counts as a patient if names look as if several belong to one."""
        names, alone = [case.id for case in self.files.train], self.patient is not None
        pattern = several_of_one_name(names)
        if pattern and alone and count == len(names) and is_picture(self.files.train[0].images[0]):
            log.warning(
                "%s: every picture counts as a patient of its own; if names such as %s are of a patient's slices, "
                "set %s",
                self.root, names[0], setting("datamodule.patient", pattern),
            )  # fmt: skip

    def _wanted(self, tested: list[CaseFiles]) -> list[CaseFiles]:
        """The cases to test, of those that could be; a subclass may select."""
        return tested

    @property
    def with_masks(self) -> Sequence[CaseFiles]:
        """All cases with a mask."""
        return (*self.files.train, *self.files.test)

    @functools.cached_property
    def _alike(self) -> dict[str, str]:
        """Patients of slices whose names do not contain them; if all are tested, each may be its own patient."""
        cases = [*self.files.train, *self.files.test, *self.files.other]
        if (patients := listed(self.root, cases)) is not None:
            return patients
        try:
            return alike(cases, self.root)
        except ValueError:
            if self._seen is None:
                raise
            return {case.id: case.id for case in cases}

    def _patient_of(self, case: CaseFiles) -> str:
        if self.patient is None:
            return self._alike[case.id]
        unmatched = f"datamodule.patient={self.patient.pattern!r} does not match the case {case.id}"
        return patient_in(case.id, self.patient, unmatched)
