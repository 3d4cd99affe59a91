"""A folder for each patient with images on one grid and a label map.

<root>/<patient>/<image>.nii.gz    such as t1.nii.gz and t2.nii.gz
<root>/<patient>/<mask>.nii.gz
<root>/patients.csv (.tsv, .xlsx)  to select patients: a column `id`, and the columns to select by
"""

import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medzoo.datamodules.io import find_table, match_ids, plain, read_table, some, spelt
from medzoo.datamodules.phantoms.phantom import Phantom
from medzoo.datamodules.segmentation.datamodule import SegmentationDataModule
from medzoo.datamodules.segmentation.files import ENDING, CaseFiles, DatasetFiles
from medzoo.datamodules.splits import held_out

__all__ = ["PatientFoldersDataModule"]

log = logging.getLogger(__name__)

Where = Mapping[str, str | int | float]


class PatientFoldersDataModule(SegmentationDataModule):
    """Trains on all folds but one and tests on that one; columns of `patients.csv` may select patients.

    Folds are made of all patients that have the images, so they do not depend on the selection.

    Args:
        root: Folder of the patients; of a phantom, the folder that holds its cohort.
        images: Names of the files that make the channels of an image.
        mask: Name of the label map.
        train_where: Selects patients for training and validation by columns, such as `{scanner: A}`.
        test_where: Selects patients for the test.
        phantom: Written to `root` where it is missing.
        **options: Of `SegmentationDataModule`; `classes` has to be given. A folder is a case, and without `patient` a
            patient too.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        images: Sequence[str],
        mask: str,
        classes: Sequence[str],
        train_where: Where | None = None,
        test_where: Where | None = None,
        phantom: Phantom | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, phantom=phantom, classes=classes, channels=images, **options)
        self.images, self.mask, self.names = list(images), mask, tuple(classes)
        self.train_where, self.test_where = dict(train_where or {}), dict(test_where or {})

    @functools.cached_property
    def files(self) -> DatasetFiles:
        """Cases of the folder.

        Raises:
            FileNotFoundError: If no patient has all images, or no training patient has a mask.
            ValueError: If no patient selected by `test_where` is in the fold.
        """
        self.fetch()
        train, test = (self._chosen(where) for where in (self.train_where, self.test_where))
        learnt, other = (tuple(case for case in train if bool(case.mask) is there) for there in (True, False))
        if not learnt:
            whose = self.train_where or "a patient"
            raise FileNotFoundError(f"{self.root}: no folder of {whose} has a {self._name('<folder>', self.mask)}")
        out = self._folds()
        tested = tuple(case for case in test if case.mask and self._patient_of(case) in out)
        if self.test_where and not tested:
            told = f"fold {self.fold} has nobody of {self.test_where} to test on; choose another"
            raise ValueError(f"{self.root}: {told}")
        return DatasetFiles(self.names, tuple(self.images), learnt, tested, other)

    @property
    def with_masks(self) -> Sequence[CaseFiles]:
        """All patients with a mask, whether selected or not."""
        self.fetch()
        return [case for case in self.all_cases if case.mask]

    def _wanted(self, tested: list[CaseFiles]) -> list[CaseFiles]:
        """The cases selected by `test_where`.

        Raises:
            ValueError: If there is none.
        """
        chosen = {case.id for case in self._chosen(self.test_where)}
        found = [case for case in tested if case.id in chosen]
        if self.test_where and not found:
            raise ValueError(f"{self.root}: nobody of test_where={self.test_where} can be tested; choose another")
        return found

    @functools.cached_property
    def all_cases(self) -> tuple[CaseFiles, ...]:
        """Patients that have all images."""
        cases = []
        for folder in sorted(path for path in self.root.iterdir() if path.is_dir() and path.name[0] != "."):
            files = tuple(spelt(folder / self._name(folder.name, image)) for image in self.images)
            mask = spelt(folder / self._name(folder.name, self.mask))
            if all(file.is_file() for file in files):
                cases.append(CaseFiles(folder.name, files, mask if mask.is_file() else None))
        if not cases:
            wanted = ", ".join(self._name("<folder>", image) for image in self.images)
            raise FileNotFoundError(f"{self.root}: no folder holds {wanted}: set datamodule.root")
        return tuple(cases)

    def _name(self, folder: str, image: str) -> str:
        """Name of a file in a patient's folder; a subclass changes it where files repeat the folder's name."""
        return f"{image}{ENDING}"

    def _chosen(self, where: Where) -> list[CaseFiles]:
        """Cases whose row of `patients.csv` has these values."""
        if not where:
            return list(self.all_cases)
        file = find_table(self.root, "patients")
        table = read_table(file)
        table.need("id", *where)
        rows = table.by("id")
        if absent := match_ids([case.id for case in self.all_cases], rows, file):
            log.warning("%s: %d patients have no row, left out: %s", file, len(absent), some(absent))
        wanted = {column: plain(str(value)) for column, value in where.items()}
        return [
            case for case in self.all_cases
            if case.id in rows and all(plain(rows[case.id][column]) == value for column, value in wanted.items())
        ]  # fmt: skip

    def _folds(self) -> set[str]:
        return held_out(map(self._patient_of, self.all_cases), self.fold, self.folds, self.root)
