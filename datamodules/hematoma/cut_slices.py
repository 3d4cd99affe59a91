"""Slices of a cohort's bleeds: cut once where masks say, then read like any other slices."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image
from rich.progress import track

from datamodules.hematoma.cohort import Cohort, Patient, read_mask
from datamodules.hematoma.roi import Box, Neighbours, roi_slices
from datamodules.hematoma.scans import TIMES, case_id
from datamodules.hematoma.slices import CLASSES, SPLITS, HematomaSlicesDataModule, check_patients
from datamodules.phantoms.head import HeadPhantom, appearing
from evaluation.expansion import ExpansionRule
from evaluation.volumes import volume_ml

__all__ = ["CutSlicesDataModule"]

log = logging.getLogger(__name__)


class CutSlicesDataModule(HematomaSlicesDataModule):
    """Three slices of the baseline bleed of each patient, with the label that the volumes of both scans give.

    A patient whose mask is empty, or whose label nobody knows, is left out and listed in `skipped.csv` there.
    Volumes are those of drawn masks where there are some. Pictures are upright, the patient's right on the left.

    Args:
        root: Folder below which slices are written, into a folder named by a hash of all that makes them.
        cohort: Folder of the cohort (`datamodules/hematoma/cohort.py`); of a phantom, the folder that holds its cohort.
        val_hospitals: Hospitals for validation.
        test_hospitals: Hospitals for the test; all others are for training.
        phantom: Written to `cohort` where it is missing.
        masks: Where networks wrote what they say of patients they have not seen (`callbacks.HeldOutMasks`), such as
            `<run>/fold_*/held_out`; null cuts by the drawn masks.
        expansion: When a bleed has expanded; by default by 6 mL or 33%.
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
        what = [str(self.cohort.root), self.cohort.splits, masks, asdict(self.rule), self.cutting]
        self.record = json.dumps(what, sort_keys=True)
        super().__init__(Path(root) / f"slices_{sha256(self.record.encode()).hexdigest()[:8]}", **options)
        self.phantom = phantom is not None

    @property
    def waiting(self) -> str:
        """As long as not every scan has its mask, nothing can be cut."""
        if self.masks is None or self.source.is_dir():
            return super().waiting
        lacking = [name for name in self._scans() if not self._files(name)]
        return (
            f"{self.masks} holds no mask of {', '.join(lacking[:3])}: outline the bleeds first"
            if lacking
            else super().waiting
        )

    def fetch(self) -> None:
        """Cut the slices, where they are missing and all masks are there."""
        if self.source.is_dir():
            return
        self.cohort.fetch()
        self._check_early()
        if self.masks and any(not self._files(name) for name in self._scans()):
            return
        with appearing(self.source) as root:
            skipped = self._cut_all(root)
            text = "patient,why\n" + "".join(f"{name},{why}\n" for name, why in skipped.items())
            (root / "skipped.csv").write_text(text)
            (root / "made_of.json").write_text(self.record + "\n")
        if skipped:
            told = ", ".join(f"{name} ({why})" for name, why in [*skipped.items()][:5])
            log.warning("%d patients left out, all in %s: %s", len(skipped), self.source / "skipped.csv", told)

    def _check_early(self) -> None:
        """Too few patients with expansion should not be found out when a network has been trained for days."""
        labels, patients = self.cohort.known_labels(self.rule), self.cohort.patients()
        if all(patient.name in labels for patient in patients):
            check_patients(self.cohort.root, [(p.split, p.name, int(labels[p.name])) for p in patients])

    def _scans(self) -> list[str]:
        """That networks have to outline: all baselines, and follow-ups that nobody has."""
        patients = self.cohort.patients()
        followups = [p for p in patients if p.scan(TIMES[1]) and not p.mask(TIMES[1])]
        return [case_id(p.name, time) for time, group in zip(TIMES, (patients, followups), strict=True) for p in group]

    def _files(self, case: str) -> list[Path]:
        """What networks have said of a scan."""
        pattern = Path(str(self.masks))
        top = Path(*pattern.parts[: next((k for k, part in enumerate(pattern.parts) if "*" in part), None)])
        rest = pattern.relative_to(top)
        return sorted(top.glob(str(rest / f"{case}.nii.gz")))

    def _cut_all(self, root: Path) -> dict[str, str]:
        """Write the slices; why patients were left out."""
        skipped, known = {}, self.cohort.known_labels(self.rule)
        patients = self.cohort.patients()
        for split in SPLITS:
            for name in CLASSES:
                (root / split / name).mkdir(parents=True)
        for patient in track(patients, "cutting slices", transient=True, disable=len(patients) < 20):
            expanded = known[patient.name] if patient.name in known else self._predicted_label(patient)
            mask, spacing = self._mask(patient, "baseline")
            if expanded is None or mask is None or not mask.any():
                skipped[patient.name] = "no label" if expanded is None else "the mask is empty"
                continue
            ct: Any = nib.as_closest_canonical(nib.load(patient.scan("baseline")))  # type: ignore[arg-type]
            pixels, bleed = (each[:, ::-1, ::-1] for each in (np.asarray(ct.dataobj).T, mask))
            for name, picture in roi_slices(pixels, bleed, spacing, **self.cutting).items():
                Image.fromarray(picture).save(root / patient.split / CLASSES[expanded] / f"{patient.name}_{name}.png")
        return skipped

    def _predicted_label(self, patient: Patient) -> bool | None:
        """By volumes of predicted masks; the ventricles are not outlined, so a rule that counts them has no answer."""
        volumes = []
        for time in TIMES if self.masks and not self.rule.include_ivh else ():
            mask, spacing = self._mask(patient, time)
            volumes += [] if mask is None else [float(volume_ml(mask, spacing))]
        return bool(self.rule(*volumes)) if len(volumes) == 2 else None

    def _mask(self, patient: Patient, time: str) -> tuple[np.ndarray | None, tuple[float, ...]]:
        """(Z, H, W) bool, the mean of what networks say or as it was drawn, and mm of a voxel."""
        if self.masks is None:
            drawn = patient.mask(time)
            return read_mask(drawn) if drawn else (None, ())
        said = [nib.as_closest_canonical(nib.load(file)) for file in self._files(case_id(patient.name, time))]
        if not said:
            return None, ()
        levels = np.mean([np.asarray(image.dataobj, np.float32).T for image in said], axis=0)
        return levels > 127.5, tuple(float(side) for side in said[0].header.get_zooms()[::-1])
