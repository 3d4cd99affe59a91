"""Cases with label maps as a trained network knows them: label values, channels, and who was never seen."""

from collections.abc import Sequence

from datamodules.base import BaseDataModule
from datamodules.seen import mark_file, matched
from datamodules.segmentation.cases import Case
from datamodules.segmentation.files import UNNAMED, CaseFiles, DatasetFiles
from datamodules.segmentation.labels import Labels

__all__ = ["MatchedCases"]


class MatchedCases(BaseDataModule):
    """Of a datamodule of cases, what `evaluate.py` asks for; see `BaseDataModule`."""

    _classes: Sequence[str] | None
    _channels: Sequence[str] | None
    _known_classes: tuple[str, ...] = ()
    _labels: list[int] | None = None
    _images: list[int] | None = None

    @property
    def labels(self) -> Labels:
        """What label values mean, as `dataset.json` says where there is one."""
        said = self.files.labels if (self.root / "dataset.json").is_file() else None
        return said or Labels(tuple(self.class_names))

    @property
    def regions(self) -> list[list[int]] | None:
        """Label values of each class but the background where they are regions, else none."""
        return [list(values) for values in self.labels.regions] or self._state.get("regions")

    @property
    def regions_class_order(self) -> list[int] | None:
        """For each region the label value that it is written as; none without regions."""
        return list(self.labels.order) or None

    @property
    def ignore(self) -> int | None:
        """Label value of what is not annotated: no part of losses, scores and predictions; none where all is."""
        return self.labels.ignore

    @property
    def num_classes(self) -> int:
        """What a network says of a voxel: the background and each class, or each region."""
        regions = self.regions
        if regions and len(regions) != len(self.class_names) - 1:
            raise ValueError(
                f"{self.root / 'dataset.json'}: its labels are the regions {', '.join(self.labels.names[1:])}, but "
                f"datamodule.classes={list(self.class_names)}; set that to null"
            )
        return len(self.class_names) - bool(regions)

    def use_classes(self, names: Sequence[str]) -> None:
        """Let label values and channels mean those of a model; see `BaseDataModule`.

        The one class of pictures has no name of its own, and is that of a model of one class.
        """
        self._known_classes = tuple(names)
        try:
            data, model = list(self._data_classes), list(names)
        except FileNotFoundError:  # images are predicted on where the training data is not
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
        """By label value of the file, that of the model; what is not annotated stays the highest."""
        return self._labels and [*self._labels, *([] if self.ignore is None else [self.ignore])]

    def _match_channels(self, model: Sequence[str] | None) -> None:
        data = list(self._data_channels)
        if model is None or (len(model) == len(data) == 1):  # what has no order cannot be in a wrong one
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
        """Cases of each split: of the fold, or of a checkpoint's test."""
        cases: dict[str, list[CaseFiles]] = {}
        for case in self.with_masks:
            cases.setdefault(self._patient_of(case), []).append(case)
        found: dict[str, list[CaseFiles]] = {}

        def rule() -> dict[str, list[str]]:
            found.update(self._fold_cases())
            return {name: list(dict.fromkeys(map(self._patient_of, each))) for name, each in found.items()}

        marks = {one: _marks(each) for one, each in cases.items()}
        splits = self.divide(marks, rule, self.root)
        if self._seen is None:
            return found
        found.setdefault("train", [])
        found.setdefault("val", [])
        return {**found, "test": self._wanted([case for one in splits["test"] for case in cases[one]])}

    def _wanted(self, tested: list[CaseFiles]) -> list[CaseFiles]:
        """Of those that could be tested, those whom the arguments ask for."""
        return tested

    def record(self, split: str, cases: Sequence[Case]) -> None:
        """Let a checkpoint know that these were seen too."""
        assert self._recorded is not None
        self._recorded.marks[split].update(_marks([case.files for case in cases]))

    @property
    def with_masks(self) -> Sequence[CaseFiles]:
        """All cases that may be trained on or tested."""
        return (*self.files.train, *self.files.test)

    @property
    def files(self) -> DatasetFiles:
        """What is in the folder."""
        raise NotImplementedError

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the background and all classes or regions."""
        raise NotImplementedError

    def _patient_of(self, case: CaseFiles) -> str:
        raise NotImplementedError

    def _fold_cases(self) -> dict[str, list[CaseFiles]]:
        raise NotImplementedError


def _marks(cases: Sequence[CaseFiles]) -> list[int]:
    return [mark_file(file) for case in cases for file in case.images]
