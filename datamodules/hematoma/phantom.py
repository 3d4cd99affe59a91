"""Slices of the head phantom's bleeds: cut from its baseline scans once, then read like any other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image
from rich.progress import track

from datamodules.followup.clinical import read_clinical
from datamodules.hematoma.roi import Box, Neighbours, roi_slices
from datamodules.hematoma.slices import CLASSES, HematomaSlicesDataModule
from datamodules.phantoms.head import appearing, cohort_name, write_head_cohort

__all__ = ["HematomaSlicesPhantomDataModule"]


class HematomaSlicesPhantomDataModule(HematomaSlicesDataModule):
    """Three slices of the baseline bleed of each phantom, with the label of its follow-up.

    Bleeds that will expand tend to be mottled (`datamodules/phantoms/head/causal.py`), so there is something to see.

    Args:
        root: Folder below which cohort and slices are written, into folders that the arguments name.
        patients: Number of patients of each hospital.
        val_hospitals: Hospitals for validation.
        test_hospitals: Hospitals for the test; all others are for training.
        cohort_size: H = W of the scans in pixels.
        spacing_mm: Edge of a pixel in mm.
        slices: Slices of each scan.
        image_size: H = W of the cut slices.
        neighbours: Of `roi_slices`.
        box: Of `roi_slices`.
        phantom_seed: Seed of the cohort, apart from the seed of training.
        **options: Of `HematomaSlicesDataModule`.
    """

    phantom = True

    def __init__(
        self,
        root: str | Path = "data/phantoms",
        *,
        patients: Mapping[str, int],
        val_hospitals: list[str],
        test_hospitals: list[str],
        cohort_size: int = 64,
        spacing_mm: float = 3.0,
        slices: int = 14,
        image_size: int = 64,
        neighbours: Neighbours = "native",
        box: Box = "margin",
        phantom_seed: int = 0,
        **options: Any,
    ) -> None:
        scans = {"image_size": cohort_size, "spacing_mm": spacing_mm, "slices": slices, "signs": True}
        self.scans: dict[str, Any] = {"patients": dict(patients), **scans, "seed": phantom_seed}
        name = cohort_name(**self.scans)
        split = f"val{''.join(val_hospitals)}_test{''.join(test_hospitals)}"
        folder = Path(root) / f"slices_{name}_{split}_{image_size}px_{neighbours}_{box}"
        super().__init__(folder, image_size=image_size, **options)
        self.cohort, self.hospitals = Path(root) / name, {"val": val_hospitals, "test": test_hospitals}
        self.cutting: dict[str, Any] = {"size": image_size, "neighbours": neighbours, "box": box}

    def fetch(self) -> None:
        """Write the cohort and cut its slices, where they are missing."""
        if self.source.is_dir():
            return
        write_head_cohort(self.cohort, **self.scans)
        scans, table = sorted(self.cohort.glob("*/*/baseline")), read_clinical(self.cohort / "clinical.csv")
        with appearing(self.source) as root:
            for scan in track(scans, "cutting slices", transient=True, disable=len(scans) < 20):
                hospital, patient = scan.parts[-3:-1]
                split = next((name for name, chosen in self.hospitals.items() if hospital in chosen), "train")
                folder = root / split / CLASSES[int(table[patient].expansion or 0)]
                folder.mkdir(parents=True, exist_ok=True)
                for name, picture in self._cut(scan).items():
                    Image.fromarray(picture).save(folder / f"{patient}_{name}.png")

    def _cut(self, scan: Path) -> dict[str, np.ndarray]:
        image: Any = nib.load(scan / "ct.nii.gz")
        mask: Any = nib.load(scan / "iph.nii.gz")
        ct, bleed = (np.asarray(each.dataobj).T for each in (image, mask))
        return roi_slices(ct, bleed, image.header.get_zooms()[::-1], **self.cutting)
