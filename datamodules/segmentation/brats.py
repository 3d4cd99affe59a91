"""BraTS 2023 and later: a folder for each scan, whose files repeat the name of the folder.

<root>/BraTS-GLI-00008-100/BraTS-GLI-00008-100-{t1n,t1c,t2w,t2f}.nii.gz    skull-stripped, on one grid
<root>/BraTS-GLI-00008-100/BraTS-GLI-00008-100-seg.nii.gz                  label map, where it was published
<root>/patients.csv                                                        optional, see `folders.py`

The last number of a name is the time point, so `00008-100` and `00008-101` are scans of one patient.
Source: Kazerooni et al. 2023, arXiv:2305.17033; data at synapse.org/brats.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medzoo.datamodules.segmentation.files import ENDING
from medzoo.datamodules.segmentation.folders import PatientFoldersDataModule

__all__ = ["BraTSDataModule"]


class BraTSDataModule(PatientFoldersDataModule):
    """Brain tumours in four MR sequences, split by patient.

    Args:
        root: Folder of the scans, as the archive unpacks.
        images: Sequences that make the channels, of `t1n`, `t1c`, `t2w` and `t2f`.
        classes: Names by label value; the set of treated gliomas (2024) has a fifth, the resection cavity.
        **options: Of `PatientFoldersDataModule`.
    """

    layout = "datamodule.root to the unpacked training data of BraTS 2023 or later"

    def __init__(
        self,
        root: str | Path,
        *,
        images: Sequence[str] = ("t1n", "t1c", "t2w", "t2f"),
        classes: Sequence[str] = ("background", "necrosis", "oedema", "enhancing"),
        **options: Any,
    ) -> None:
        super().__init__(root, images=images, mask="seg", classes=classes, **{"patient": r"(.*)-\d+", **options})

    def _name(self, folder: str, image: str) -> str:
        return f"{folder}-{image}{ENDING}"
