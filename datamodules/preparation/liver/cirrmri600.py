"""CirrMRI600+ as published (Jha et al. 2025, doi:10.1038/s41597-025-05201-7; CC BY-NC 4.0).

    Cirrhosis_T1_3D[/Cirrhosis_T1_3D]/{train,valid,test}_{images,masks}/<id>.nii.gz       and T2
    Healthy_subjects/T1_W_Healthy/T1_{images,masks}/<id>.nii.gz                           and T2
    *CompleteData*.csv     Patient ID, Age, Gender (1 F, 2 M), Radiological Evaluation (1 mild, 2 moderate, 3 severe)

Zip files may be unpacked nested or not. Healthy people and patients share ids, so the ids get a prefix. T1 and T2 have
separate splits, and a patient may be in training for one and in test for the other. Here each patient has one split:
that of the T1 if there is one.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk

from medzoo.datamodules.io import Volume, listed, match_ids, plain, read_table, to_itk
from medzoo.datamodules.preparation.layouts import (
    ImportedPatient,
    LabelledScan,
    Preparation,
    write_cohort,
    write_segmentation_set,
)
from medzoo.datamodules.preparation.turned import read_turned, with_labels

__all__ = ["CirrMRI600CohortPreparation", "CirrMRI600Preparation", "Person", "find_cirrmri600"]

log = logging.getLogger(__name__)

_SPLITS = {"train": "train", "valid": "val", "test": "test"}
_GENDER = {"1": "F", "2": "M"}
_LABELS = {"background": 0, "liver": 1}


@dataclass
class Person:
    """The scans of a person.

    Attributes:
        id: Id with the prefix `healthy_` or `cirrhosis_`.
        scans: For `t1` and `t2`: image, mask and the split of the data set, which is empty for healthy people.
    """

    id: str
    scans: dict[str, tuple[Path, Path, str]] = field(default_factory=dict)

    @property
    def split(self) -> str:
        """The split of both scans."""
        return self.scans["t1" if "t1" in self.scans else "t2"][2]


@dataclass(frozen=True)
class CirrMRI600Preparation(Preparation):
    """Converts livers and their masks to nnU-Net's raw layout; the test split of the data set is kept.

    Attributes:
        weighting: `t1`, `t2`, or `both`; with `both`, T2 is resampled to the grid of the T1, whose mask is used.
    """

    weighting: Literal["t1", "t2", "both"] = "both"

    def _prepare(self, root: Path, output: Path) -> None:
        wanted = ("t1", "t2") if self.weighting == "both" else (self.weighting,)
        people = [one for one in find_cirrmri600(root) if all(name in one.scans for name in wanted)]
        scans = (_labelled(one, wanted) for one in people)
        write_segmentation_set(output, scans, labels=_LABELS, channels=[name.upper() for name in wanted])


class CirrMRI600CohortPreparation(Preparation):
    """Converts patients with cirrhosis to the general layout; the class is the radiological evaluation, 0 to 2."""

    def _prepare(self, root: Path, output: Path) -> None:
        tables = listed(root, "**/*CompleteData*.csv")
        if not tables:
            raise FileNotFoundError(f"no *CompleteData*.csv below {root}: unpack the zip with the metadata there")
        rows = read_table(tables[0]).by("Patient ID")
        people = [one for one in find_cirrmri600(root) if one.id.startswith("cirrhosis_")]
        match_ids([one.id.removeprefix("cirrhosis_") for one in people], rows, tables[0])
        write_cohort(output, _patients(people, rows, tables[0]))


def find_cirrmri600(root: Path) -> list[Person]:
    """Find all people, those with cirrhosis first, in order of id.

    Raises:
        FileNotFoundError: If none is found.
        ValueError: If an image has no mask, or a person has two scans of one weighting.
    """
    people: dict[str, Person] = {}
    for folder in listed(root, "**/*_images"):
        kind, parts = folder.name.removesuffix("_images"), [part.casefold() for part in folder.parts]
        for weighting in ("t1", "t2"):
            if kind in _SPLITS and f"cirrhosis_{weighting}_3d" in parts:
                _add(people, folder, "cirrhosis", weighting, _SPLITS[kind])
            elif kind == weighting.upper() and f"{weighting}_w_healthy" in parts:
                _add(people, folder, "healthy", weighting, "")
    if not people:
        raise FileNotFoundError(f"no Cirrhosis_T1_3D/train_images/<id>.nii.gz or the like below {root}")
    if moved := sum(len({split for *_, split in one.scans.values()}) > 1 for one in people.values()):
        log.warning("%d patients have different splits in T1 and T2; using that of the T1", moved)
    return [people[name] for name in sorted(people)]


def _add(people: dict[str, Person], folder: Path, group: str, weighting: str, split: str) -> None:
    for image in listed(folder, "*.nii.gz"):
        mask = folder.with_name(folder.name.replace("images", "masks")) / image.name
        if not mask.is_file():
            raise ValueError(f"{image} has no mask {mask}")
        name = f"{group}_{image.name.removesuffix('.nii.gz')}"
        one = people.setdefault(name, Person(name))
        if weighting in one.scans:
            other = one.scans[weighting][0]
            raise ValueError(f"{image} and {other} are both {weighting.upper()} of {name}; remove one")
        one.scans[weighting] = (image, mask, split)


def _labelled(one: Person, wanted: Sequence[str]) -> LabelledScan:
    first, *others = (read_turned(one.scans[name][0]) for name in wanted)
    mask = with_labels(first, one.scans[wanted[0]][1], (0, 1))
    test = one.scans[wanted[0]][2] == "test"
    return LabelledScan(one.id, [first, *(_onto(other, first) for other in others)], mask, test)


def _patients(
    people: Sequence[Person], rows: Mapping[str, Mapping[str, str]], table: Path
) -> Iterator[ImportedPatient]:
    for one in people:
        row = rows.get(one.id.removeprefix("cirrhosis_"), {})
        if not row:
            log.warning("%s has no row in %s; its clinical data are missing", one.id, table.name)
        label = plain(row.get("Radiological Evaluation", ""))
        if label not in ("", "1", "2", "3"):
            raise ValueError(f"{table}: Radiological Evaluation of {one.id} is '{label}'; expected 1, 2 or 3")
        clinical = {"age": row.get("Age", ""), "sex": _GENDER.get(plain(row.get("Gender", "")), "")}
        volumes = {name: read_turned(image) for name, (image, *_) in one.scans.items()}
        outlined = "t1" if "t1" in volumes else "t2"
        volumes["liver"] = with_labels(volumes[outlined], one.scans[outlined][1], (0, 1))
        yield ImportedPatient(one.id, clinical, str(int(label) - 1) if label else "", volumes=volumes, split=one.split)


def _onto(image: Volume, grid: Volume) -> Volume:
    """Resample linearly to the grid of another image; 0 outside."""
    here, there = (to_itk(one.array.astype(np.float32), one.affine) for one in (image, grid))
    moved = sitk.Resample(here, there, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    return Volume(sitk.GetArrayFromImage(moved), grid.grid)
