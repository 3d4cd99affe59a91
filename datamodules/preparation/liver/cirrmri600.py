"""CirrMRI600+ as it comes off the disk (Jha et al. 2025, doi:10.1038/s41597-025-05201-7; CC BY-NC 4.0).

    Cirrhosis_T1_3D[/Cirrhosis_T1_3D]/{train,valid,test}_{images,masks}/<id>.nii.gz       and T2
    Healthy_subjects/T1_W_Healthy/T1_{images,masks}/<id>.nii.gz                           and T2
    *CompleteData*.csv     Patient ID, Age, Gender (1 F, 2 M), Radiological Evaluation (1 mild, 2 moderate, 3 severe)

Zip files unpack nested or not. Healthy people have ids that cirrhotic ones have too, so theirs get a prefix. T1 and T2
have a split each, and a patient may be trained on in one and tested on in the other; here a patient has one split, that
of the T1 where there is one.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk

from datamodules.io import Volume, listed, match_ids, plain, read_table, to_itk
from datamodules.preparation.liver.cohort import ImportedPatient, write_cohort
from datamodules.preparation.liver.segmentation_set import LabelledScan, write_segmentation_set
from datamodules.preparation.liver.turned import read_turned, with_labels

__all__ = ["CirrMRI600CohortPreparation", "CirrMRI600Preparation", "Person", "find_cirrmri600"]

log = logging.getLogger(__name__)

_SPLITS = {"train": "train", "valid": "val", "test": "test"}
_GENDER = {"1": "F", "2": "M"}
_LABELS = {"background": 0, "liver": 1}


@dataclass
class Person:
    """What there is of somebody.

    Attributes:
        id: With the prefix `healthy_` or `cirrhosis_`.
        scans: By `t1` and `t2`, image and mask.
        splits: By `t1` and `t2`, that of the data set.
    """

    id: str
    scans: dict[str, tuple[Path, Path]]
    splits: dict[str, str]

    @property
    def split(self) -> str:
        """One for both scans."""
        return self.splits.get("t1") or self.splits.get("t2") or ""


@dataclass(frozen=True)
class CirrMRI600Preparation:
    """Brings livers and their masks into nnU-Net's raw layout.

    Attributes:
        input: Folder with the unpacked zips.
        output: Folder to write.
        weighting: `t1`, `t2`, or `both`: T2 is then resampled to the grid of the T1, whose mask is learnt.
    """

    input: str
    output: str
    weighting: Literal["t1", "t2", "both"] = "both"

    def run(self) -> None:
        """Write `output`; those whom the data set tests on make the test.

        Raises:
            FileNotFoundError: If no scan is found.
            ValueError: If a file is not as it should be.
        """
        wanted = ("t1", "t2") if self.weighting == "both" else (self.weighting,)
        people = [one for one in find_cirrmri600(Path(self.input)) if all(name in one.scans for name in wanted)]
        scans = (_labelled(one, wanted) for one in people)
        write_segmentation_set(Path(self.output), scans, labels=_LABELS, channels=[name.upper() for name in wanted])


@dataclass(frozen=True)
class CirrMRI600CohortPreparation:
    """Brings people with cirrhosis into the general layout; the class is the radiological evaluation, 0 to 2.

    Attributes:
        input: Folder with the unpacked zips and the table.
        output: Folder to write.
    """

    input: str
    output: str

    def run(self) -> None:
        """Write `output`.

        Raises:
            FileNotFoundError: If there are no scans or no table.
            ValueError: If a file or a cell is not as it should be.
        """
        tables = listed(Path(self.input), "**/*CompleteData*.csv")
        if not tables:
            raise FileNotFoundError(f"no *CompleteData*.csv below {self.input}: unpack the zip with the metadata there")
        rows = read_table(tables[0]).by("Patient ID")
        people = [one for one in find_cirrmri600(Path(self.input)) if one.id.startswith("cirrhosis_")]
        match_ids([one.id.removeprefix("cirrhosis_") for one in people], rows, tables[0])
        write_cohort(Path(self.output), self._patients(people, rows, tables[0]), None)

    def _patients(
        self, people: list[Person], rows: Mapping[str, Mapping[str, str]], table: Path
    ) -> Iterator[ImportedPatient]:
        for one in people:
            row = rows.get(one.id.removeprefix("cirrhosis_"), {})
            if not row:
                log.warning("%s has no row in %s; its clinical data are missing", one.id, table.name)
            label = plain(row.get("Radiological Evaluation", ""))
            if label not in ("", "1", "2", "3"):
                raise ValueError(f"{table}: Radiological Evaluation of {one.id} is '{label}'; expected 1, 2 or 3")
            gender = plain(row.get("Gender", ""))
            yield ImportedPatient(
                one.id,
                {"age": row.get("Age", ""), "sex": _GENDER.get(gender, "")},
                str(int(label) - 1) if label else "",
                volumes={name: read_turned(image) for name, (image, _) in one.scans.items()} | {"liver": _liver(one)},
                split=one.split,
            )


def find_cirrmri600(root: Path) -> list[Person]:
    """Everybody, cirrhotic ones first, in order of id.

    Raises:
        FileNotFoundError: If nobody is found.
        ValueError: If an image has no mask, or somebody stands twice in the scans of one weighting.
    """
    people: dict[str, Person] = {}
    for weighting in ("t1", "t2"):
        for split in _SPLITS:
            for folder in listed(root, f"**/{split}_images"):
                if f"cirrhosis_{weighting}_3d" in (part.casefold() for part in folder.parts):
                    _add(people, folder, "cirrhosis", weighting, _SPLITS[split])
        for folder in listed(root, f"**/{weighting.upper()}_images"):
            if f"{weighting}_w_healthy" in (part.casefold() for part in folder.parts):
                _add(people, folder, "healthy", weighting, "")
    if not people:
        raise FileNotFoundError(f"no Cirrhosis_T1_3D/train_images/<id>.nii.gz or the like below {root}")
    moved = [one.id for one in people.values() if len(set(one.splits.values())) > 1]
    if moved:
        log.warning("%d patients have different splits in T1 and T2; that of the T1 is taken", len(moved))
    return [people[name] for name in sorted(people)]


def _add(people: dict[str, Person], folder: Path, group: str, weighting: str, split: str) -> None:
    for image in listed(folder, "*.nii.gz"):
        mask = folder.with_name(folder.name.replace("images", "masks")) / image.name
        if not mask.is_file():
            raise ValueError(f"{image} has no mask {mask}")
        name = f"{group}_{image.name.removesuffix('.nii.gz')}"
        one = people.setdefault(name, Person(name, {}, {}))
        if weighting in one.scans:
            raise ValueError(
                f"{image} and {one.scans[weighting][0]} are both {weighting.upper()} of {name}; remove one"
            )
        one.scans[weighting] = (image, mask)
        if split:
            one.splits[weighting] = split


def _labelled(one: Person, wanted: tuple[str, ...]) -> LabelledScan:
    first, *others = (read_turned(one.scans[name][0]) for name in wanted)
    mask = with_labels(first, one.scans[wanted[0]][1], (0, 1))
    split = one.split if len(wanted) > 1 else one.splits.get(wanted[0], "")
    return LabelledScan(one.id, [first, *(_onto(other, first) for other in others)], mask, test=split == "test")


def _liver(one: Person) -> Volume:
    name = "t1" if "t1" in one.scans else "t2"
    image, mask = one.scans[name]
    return with_labels(read_turned(image), mask, (0, 1))


def _onto(image: Volume, grid: Volume) -> Volume:
    """Resampled linearly to another image's grid; 0 where there is nothing."""
    here, there = (to_itk(one.array.astype(np.float32), one.affine) for one in (image, grid))
    moved = sitk.Resample(here, there, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    return Volume(sitk.GetArrayFromImage(moved), grid.grid)
