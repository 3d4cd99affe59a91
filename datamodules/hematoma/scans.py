"""All scans of a cohort, for a network that segments their bleeds."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medzoo.datamodules.followup.scans import TIMES
from medzoo.datamodules.hematoma.cohort import Cohort, Patient
from medzoo.datamodules.phantoms.head import HeadPhantom
from medzoo.datamodules.segmentation.datamodule import SegmentationDataModule
from medzoo.datamodules.segmentation.files import CaseFiles, DatasetFiles

__all__ = ["HematomaScansDataModule", "case_id"]

_CLASSES, _CHANNELS = ("background", "hematoma"), ("CT",)


class HematomaScansDataModule(SegmentationDataModule):
    """Folds of the patients of the training hospitals that have masks; the test is on the test hospitals.

    Cases are named `<patient>_<time>`. Scans without a mask and those of validation hospitals are for prediction only
    (`held_out_dataloader`).

    Args:
        root: Folder of the cohort (`datamodules/hematoma/cohort.py`); of a phantom, the folder that holds its cohort.
        val_hospitals: Hospitals for validation of the classifier.
        test_hospitals: Hospitals for the test.
        phantom: Written to `root` where it is missing.
        **options: Of `SegmentationDataModule`.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        val_hospitals: Sequence[str],
        test_hospitals: Sequence[str],
        phantom: HeadPhantom | None = None,
        **options: Any,
    ) -> None:
        self.cohort = Cohort(root, val_hospitals=val_hospitals, test_hospitals=test_hospitals, phantom=phantom)
        super().__init__(root, phantom=phantom, patient=f"(.*)_(?:{'|'.join(TIMES)})", **options)

    def evaluate_as(self, seen: Mapping[str, Any] | None) -> None:
        """Other cohorts have other hospitals; see `BaseDataModule`."""
        super().evaluate_as(seen)
        self.cohort.whole = self._seen is None

    @property
    def with_masks(self) -> Sequence[CaseFiles]:
        """All scans with masks, of whatever hospital."""
        self.fetch()
        return [case for patient in self.cohort.patients() for case in _cases(patient) if case.mask]

    @functools.cached_property
    def files(self) -> DatasetFiles:
        """What is in the folder.

        Raises:
            ValueError: If no patient of a training hospital has a mask.
        """
        self.fetch()
        found: dict[str, list[CaseFiles]] = {"train": [], "val": [], "test": []}
        for patient in self.cohort.patients():
            found[patient.split] += _cases(patient)
        train, test = ([case for case in found[split] if case.mask] for split in ("train", "test"))
        if not train:
            raise ValueError(f"{self.root}: no patient of a training hospital has an iph.nii.gz to learn from")
        known = {case.id for case in (*train, *test)}
        other = [case for cases in found.values() for case in cases if case.id not in known]
        return DatasetFiles(_CLASSES, _CHANNELS, tuple(train), tuple(test), tuple(other))

    @property
    def held_out_cases(self) -> list[CaseFiles]:
        """But for follow-ups with masks: whether their bleeds have expanded is known."""
        known = {case_id(patient.name, TIMES[1]) for patient in self.cohort.patients() if patient.file(TIMES[1], "iph")}
        return [case for case in super().held_out_cases if case.id not in known]


def case_id(patient: str, time: str) -> str:
    """Name of a scan."""
    return f"{patient}_{time}"


def _cases(patient: Patient) -> list[CaseFiles]:
    files = {time: patient.file(time) for time in TIMES}
    return [
        CaseFiles(case_id(patient.name, time), (ct,), patient.file(time, "iph")) for time, ct in files.items() if ct
    ]
