"""Convert PhysioNet's CT-ICH (Hssayeni et al. 2020, doi:10.13026/4nae-zg36) to nnU-Net's raw layout.

    ct_scans/049.nii, ..., 130.nii     75 head CTs of trauma patients, 36 with a bleed, slices of 5 mm
    masks/049.nii, ...                 0 for background, another value for any bleed; empty without a bleed

Each scan is of a different patient.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medzoo.datamodules.io import Volume, listed
from medzoo.datamodules.preparation.layouts import LabelledScan, Preparation, write_segmentation_set
from medzoo.datamodules.preparation.turned import read_turned, with_labels

__all__ = ["CTICHPreparation"]


@dataclass(frozen=True)
class CTICHPreparation(Preparation):
    """Converts CT-ICH to nnU-Net's raw layout, with one class for all kinds of bleeds."""

    def _prepare(self, root: Path, output: Path) -> None:
        scans = {file.name.split(".")[0]: file for file in listed(root, "**/ct_scans/*.nii*")}
        masks = {file.name.split(".")[0]: file for file in listed(root, "**/masks/*.nii*")}
        if not scans:
            raise FileNotFoundError(f"no ct_scans/<number>.nii below {root}")
        if missing := sorted(scans.keys() - masks.keys()):
            raise ValueError(f"{scans[missing[0]]} has no masks/{missing[0]}.nii; add it")
        labelled = (_scan(f"ctich_{number}", scans[number], masks[number]) for number in sorted(scans))
        write_segmentation_set(output, labelled, labels={"background": 0, "hemorrhage": 1}, channels=["CT"])


def _scan(name: str, image_file: Path, mask_file: Path) -> LabelledScan:
    image = read_turned(image_file)
    mask = with_labels(image, mask_file, (0, 1, 255))
    return LabelledScan(name, [image], Volume((mask.array > 0).astype(np.uint8), mask.grid))
