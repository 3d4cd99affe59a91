"""Slices of a cohort's bleeds: cut once around the masks, then read like any other slices."""

import glob
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from medzoo.datamodules.followup.scans import TIMES
from medzoo.datamodules.hematoma.cohort import CLASSES, Cohort, Patient, drawn_ml
from medzoo.datamodules.hematoma.roi import Box, Neighbours, roi_slices
from medzoo.datamodules.hematoma.scans import case_id
from medzoo.datamodules.hematoma.slices import HematomaSlicesDataModule
from medzoo.datamodules.io import (
    Volume,
    check_hu,
    check_same_grid,
    find_table,
    read_mask,
    read_table,
    read_volume,
    some,
    write_table,
)
from medzoo.datamodules.io.pictures.pages import write_picture
from medzoo.datamodules.phantoms.head import HeadPhantom
from medzoo.datamodules.phantoms.writing import appearing
from medzoo.datamodules.seen import SPLITS, mark, telling
from medzoo.evaluation.measures.expansion import ExpansionRule
from medzoo.evaluation.measures.volumes import volume_ml

__all__ = ["CutSlicesDataModule"]

log = logging.getLogger(__name__)

_MEASURED = "volumes by the affine, labels of empty masks"  # part of the key: slices made otherwise are cut again
_EMPTY, _SKIPPED = "the mask is empty", "skipped.csv"


class CutSlicesDataModule(HematomaSlicesDataModule):
    """Three slices of the baseline bleed of each patient, labelled by the volumes of both scans.

    If a checkpoint has seen no scan of the cohort, all hospitals are tested. Patients with an empty mask or without a
    label have no slices and are listed in `skipped.csv` beside them; those of the test with an empty mask and a label
    are in `without_image`, so that the test counts them. Drawn masks take precedence for volumes. Pictures are upright,
    with the patient's right on the left.

    Args:
        root: Folder below which slices are written, in a folder named by a hash of these arguments.
        cohort: Folder of the cohort (`datamodules/hematoma/cohort.py`); of a phantom, the folder that holds its cohort.
        val_hospitals: Hospitals for validation.
        test_hospitals: Hospitals for the test; all others are for training.
        phantom: Written to `cohort` where it is missing.
        masks: Folders of predicted masks of patients that the network has not seen (`callbacks.HeldOutMasks`), such as
            `<run>/fold_*/held_out`; null uses the drawn masks.
        expansion: Rule for expansion; by default by 6 mL or 33%.
        cut_size: H = W of the pictures in pixels; they are read at `image_size`.
        neighbours: Of `roi_slices`.
        box: Of `roi_slices`.
        margin_mm: Of `roi_slices`.
        **options: Of `HematomaSlicesDataModule`.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        cohort: str | Path,
        val_hospitals: Sequence[str],
        test_hospitals: Sequence[str],
        phantom: HeadPhantom | None = None,
        masks: str | None = None,
        expansion: ExpansionRule | None = None,
        cut_size: int = 224,
        neighbours: Neighbours = "native",
        box: Box = "margin",
        margin_mm: float = 5.0,
        **options: Any,
    ) -> None:
        self.cohort = Cohort(cohort, val_hospitals=val_hospitals, test_hospitals=test_hospitals, phantom=phantom)
        self.rule, self.masks = expansion or ExpansionRule(), masks
        self.cutting: dict[str, Any] = {"size": cut_size, "neighbours": neighbours, "box": box, "margin_mm": margin_mm}
        super().__init__(Path(root) / self._folder_name(), **options)
        self.maker = phantom

    def _folder_name(self) -> str:
        how = [self.cohort.root.name, self.cohort.splits, bool(self.masks), asdict(self.rule), self.cutting]
        return f"slices_{sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()[:8]}"

    def evaluate_as(self, seen: Mapping[str, Any] | None) -> None:
        """Other cohorts have other hospitals; see `BaseDataModule`."""
        super().evaluate_as(seen)
        self.cohort.whole = self._seen is None

    def setup(self, stage: str | None = None) -> None:
        """Read all slices, and also mark the scans that they come from."""
        super().setup(stage)
        if self._recorded and self.cohort.root.is_dir():
            marks = self._cohort_marks()
            for patient in self.cohort.patients():
                self._recorded.marks[patient.split].update(marks[patient.name])

    def _test_all_of_another_cohort(self) -> None:
        """Test a cohort whole if the training has seen none of its scans, whatever its hospitals are called."""
        patients = self.cohort.patients() if self._seen else []
        if self._seen and not any(map(self._seen.splits_of, self._cohort_marks().values())):
            self.cohort.splits = {"val": [], "test": sorted({patient.folder.parent.name for patient in patients})}
            self.root = self.root.with_name(self._folder_name())

    def _cohort_marks(self) -> dict[str, list[int]]:
        """Marks of each patient's scans and of their place."""
        home, patients = self.cohort.root.resolve(), self.cohort.patients()
        scans = self.marks_of({one.name: [*filter(None, map(one.file, TIMES))] for one in patients})
        return {name: [mark(f"{home}/{name}"), *given] for name, given in telling(scans).items()}

    @property
    def waiting(self) -> str:
        """The predicted masks that are still missing, without which nothing can be cut."""
        if self.masks is None or self.root.is_dir():
            return super().waiting
        lacking = [name for name in self._scans() if not self._files(name)]
        if not lacking:
            return super().waiting
        told = f"{self.masks} holds no mask of {some(lacking)}"
        return f"{told}: outline the bleeds first (every fold), or set datamodule.masks to those of another run"

    def fetch(self) -> None:
        """Cut the slices once all masks exist, and again if scans or masks have changed."""
        if self.root.is_dir() and not self.cohort.root.is_dir():
            return  # cut elsewhere
        self.cohort.fetch()
        self._test_all_of_another_cohort()
        if self.cohort.whole and not self.root.is_dir():
            self._check_early()
        if self.masks and any(not self._files(name) for name in self._scans()):
            return
        made_of = json.dumps(self._made_of())
        note = self.root / "made_of.json"
        if note.is_file():
            if note.read_text() == made_of:
                return
            log.info("%s: scans or masks have changed, cut again", self.root)
            shutil.rmtree(self.root)
        with appearing(self.root) as root:
            skipped = self._cut_all(root)
            write_table(root / _SKIPPED, ("patient", "split", "label", "why"), skipped)
            (root / "made_of.json").write_text(made_of)
        if skipped:
            told = some([f"{row['patient']} ({row['why']})" for row in skipped])
            log.warning("%d patients have no slices, all in %s: %s", len(skipped), self.root / _SKIPPED, told)

    @property
    def without_image(self) -> dict[str, int]:
        """Labels of the test patients in whose scans no bleed was found: there is nothing to cut, but they count."""
        file = self.root / _SKIPPED
        listed = file.is_file() and file.read_text().count("\n") > 1
        rows = read_table(file).rows if listed else []
        missed = {row["patient"]: row for row in rows if row.get("why") == _EMPTY and row.get("label") in CLASSES}
        if self._seen and self.cohort.root.is_dir():
            marks, seen = self._cohort_marks(), self._seen
            where = {name: seen.splits_of(marks[name]) for name in missed if name in marks}
            tested = [name for name, splits in where.items() if not splits or "test" in splits]
        else:
            tested = [name for name, row in missed.items() if row["split"] == "test"]
        return {name: CLASSES.index(missed[name]["label"]) for name in tested}

    def _made_of(self) -> list[list[Any]]:
        """The key of the slices: how volumes are measured, and names, sizes and times of all source files."""
        drawn = [p.file(time, kind) for p in self.cohort.patients() for time in TIMES for kind in self.rule.kinds]
        scans = [p.file(time) for p in self.cohort.patients() for time in TIMES]
        predicted = [file for name in self._scans() for file in self._files(name)] if self.masks else []
        table = find_table(self.cohort.root, "clinical")
        files = [file for file in (*drawn, *scans, *predicted, table) if file and file.is_file()]
        facts = [["/".join(file.parts[-4:]), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        return [[_MEASURED], *facts]

    def _check_early(self) -> None:
        """Check early that there are enough patients of each class, before a network is trained for days."""
        labels, patients = self.cohort.known_labels(self.rule), self.cohort.patients()
        if all(patient.name in labels for patient in patients):
            self.cohort.check_labels(labels)

    def _scans(self) -> list[str]:
        """Scans to segment: all baselines, and follow-ups without a drawn mask."""
        patients = self.cohort.patients()
        followups = [p for p in patients if p.file(TIMES[1]) and not p.file(TIMES[1], "iph")]
        return [case_id(p.name, time) for time, group in zip(TIMES, (patients, followups), strict=True) for p in group]

    def _files(self, case: str) -> list[Path]:
        """Predicted masks of a scan."""
        pattern = Path(f"{self.masks}/{glob.escape(case)}.nii.gz")
        return sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))

    def _cut_all(self, root: Path) -> list[dict[str, str]]:
        """Write the slices; returns the patients who have none, their split and label, and why."""
        skipped, known = [], self.cohort.known_labels(self.rule)
        patients, cut = self.cohort.patients(), dict[str, bool]()
        for split in SPLITS:
            for name in CLASSES:
                (root / split / name).mkdir(parents=True)
        for patient in track(patients, "cutting slices", transient=True, disable=len(patients) < 20):
            expanded = known[patient.name] if patient.name in known else self._label(patient)
            mask = self._mask(patient, TIMES[0])
            if expanded is None or mask is None or not mask.array.any():
                skipped.append(_without_slices(patient, expanded))
                continue
            cut[patient.name] = expanded
            file = patient.file(TIMES[0])
            assert file is not None, "the cohort holds patients with a CT alone"
            ct = read_volume(file)
            check_hu(ct.array, file, stripped=True)
            check_same_grid(patient.folder / TIMES[0] / "iph.nii.gz", mask.grid, file, ct.grid)
            pixels, bleed = (each[:, ::-1, ::-1] for each in (ct.array, mask.array))
            for name, picture in roi_slices(pixels, bleed, ct.spacing, **self.cutting).items():
                write_picture(picture, root / patient.split / CLASSES[expanded] / f"{patient.name}_{name}.png")
        if self.cohort.whole:
            self.cohort.check_labels(cut)
        return skipped

    def _label(self, patient: Patient) -> bool | None:
        """Label by drawn volumes, else by predicted ones; networks do not segment IVH, which a rule may count."""
        volumes = []
        for time in TIMES:
            volume = drawn_ml(patient, time, self.rule)
            if volume is None and self.masks and not self.rule.include_ivh and patient.file(time):
                mask = self._mask(patient, time)
                volume = None if mask is None else float(volume_ml(mask.array, mask.spacing))
            if volume is None:
                return None
            volumes.append(volume)
        return bool(self.rule(*volumes))

    def _mask(self, patient: Patient, time: str) -> Volume | None:
        """The mask (Z, H, W) bool: the mean of the predictions thresholded at one half, or the drawn mask, or None."""
        if self.masks is None:
            drawn = patient.file(time, "iph")
            return read_mask(drawn, (0, 1)) if drawn else None
        predicted = [read_volume(file) for file in self._files(case_id(patient.name, time))]
        if not predicted:
            return None
        levels = np.mean([volume.array.astype(np.float32) for volume in predicted], axis=0)
        return Volume(levels > 127.5, predicted[0].grid)


def _without_slices(patient: Patient, expanded: bool | None) -> dict[str, str]:
    """A row of `skipped.csv`."""
    label, why = ("", "no label") if expanded is None else (CLASSES[expanded], _EMPTY)
    return {"patient": patient.name, "split": patient.split, "label": label, "why": why}
