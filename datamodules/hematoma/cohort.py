"""A cohort whose bleeds are segmented, cut out and classified: its files, and which bleeds expanded.

    root/<hospital>/<patient>/{baseline,followup}/ct.nii.gz           head CT in HU
    root/<hospital>/<patient>/{baseline,followup}/{iph,ivh}.nii.gz    drawn masks, optional
    root/clinical.csv                                                 `Expansion_classic` of those without a follow-up

`prepare.py` makes this layout from raw scans.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medzoo.datamodules.followup.clinical import read_clinical
from medzoo.datamodules.followup.files import find_patients
from medzoo.datamodules.followup.scans import TIMES
from medzoo.datamodules.io import find_table, match_ids, read_mask, spelt
from medzoo.datamodules.phantoms.head import HeadPhantom
from medzoo.datamodules.seen import SPLITS
from medzoo.datamodules.splits import check_classes
from medzoo.evaluation.measures.expansion import ExpansionRule
from medzoo.evaluation.measures.volumes import volume_ml

__all__ = ["CLASSES", "Cohort", "Patient", "drawn_ml"]

CLASSES = ("NHE", "HE")
"""Bleeds without and with expansion."""


@dataclass(frozen=True)
class Patient:
    """One patient."""

    name: str  # unique in the cohort
    split: str  # `train`, `val` or `test`, by hospital
    folder: Path  # holds `baseline`, and `followup` if there is one

    def file(self, time: str, kind: str = "ct") -> Path | None:
        """The CT of a time, or a drawn mask (`iph`, `ivh`), or None."""
        file = spelt(self.folder / time / f"{kind}.nii.gz")
        return file if file.is_file() else None


class Cohort:
    """The patients of the layout above, with hospitals for validation and test; all others are for training.

    Raises:
        ValueError: If a hospital is for validation and for the test.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        val_hospitals: Sequence[str],
        test_hospitals: Sequence[str],
        phantom: HeadPhantom | None = None,
    ) -> None:
        if both := set(val_hospitals) & set(test_hospitals):
            raise ValueError(f"hospital {sorted(both)[0]} is named for validation and for the test; choose one")
        self.root, self.phantom = Path(root) / phantom.name if phantom else Path(root), phantom
        self.splits = {"val": list(val_hospitals), "test": list(test_hospitals)}
        self.whole = True
        """Whether every named hospital must exist, and one to train on; False when another cohort is tested."""

    def fetch(self) -> None:
        """Write the phantom; a user's own cohort must exist."""
        if self.phantom:
            self.phantom.write(self.root)
        elif not self.root.is_dir():
            raise FileNotFoundError(f"no folder {self.root}: name the folder of a cohort, as prepare.py writes it")

    def patients(self) -> list[Patient]:
        """All patients, in order of name.

        Raises:
            ValueError: If a named hospital does not exist, or none is left for training.
        """
        found = find_patients(self.root)
        hospitals = {folder.parent.name for folder in found.values()}
        for name in (*self.splits["val"], *self.splits["test"]):
            if self.whole and name not in hospitals:
                raise ValueError(f"{self.root} has no hospital {name}; it has {', '.join(sorted(hospitals))}")
        patients = [Patient(name, self._split(folder.parent.name), folder) for name, folder in sorted(found.items())]
        for patient in patients:
            if not patient.file("baseline"):
                folder = patient.folder / "baseline"
                raise FileNotFoundError(f"{folder} has no ct.nii.gz; add it, or move {patient.name} away")
        if self.whole and not any(patient.split == "train" for patient in patients):
            raise ValueError(f"{self.root}: every hospital is for validation or the test; none is left to train on")
        return patients

    def check_labels(self, labels: Mapping[str, bool]) -> None:
        """Refuse a split with fewer than two labelled patients of a class."""
        splits = {
            split: [one.name for one in self.patients() if one.split == split and one.name in labels]
            for split in SPLITS
        }
        check_classes(splits, labels, dict(enumerate(CLASSES)), self.root)

    def known_labels(self, rule: ExpansionRule) -> dict[str, bool]:
        """Whether bleeds expand, by patient, from drawn masks or else the clinical table.

        The table holds labels of the classic rule, so it is not used with another rule.
        """
        table, patients = find_table(self.root, "clinical"), self.patients()
        written = read_clinical(table) if table.is_file() and rule == ExpansionRule() else {}
        if written:
            match_ids([patient.name for patient in patients if not patient.file("followup")], written, table)
        labels = {}
        for patient in patients:
            before, after = (drawn_ml(patient, time, rule) for time in TIMES)
            if before is not None and after is not None:
                labels[patient.name] = bool(rule(before, after))
            elif not patient.file("followup") and patient.name in written:
                label = written[patient.name].expansion
                labels |= {} if label is None else {patient.name: bool(label)}
        return labels

    def _split(self, hospital: str) -> str:
        return next((split for split, names in self.splits.items() if hospital in names), "train")


def drawn_ml(patient: Patient, time: str, rule: ExpansionRule) -> float | None:
    """Volume in mL of the masks that a rule counts; None if a drawn mask is missing."""
    files = [patient.file(time, kind) for kind in rule.kinds]
    if None in files:
        return None
    drawn = [read_mask(file, (0, 1)) for file in files if file]
    return float(sum(volume_ml(mask.array, mask.spacing) for mask in drawn))
