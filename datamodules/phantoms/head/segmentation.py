"""Head phantoms in the layouts of segmentation: nnU-Net's raw layout, and 2-D images."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medzoo.datamodules.phantoms.head.phantom import HeadPhantom
from medzoo.datamodules.phantoms.writing import appearing, write_pictures

__all__ = ["HeadPictures", "HeadScans"]


@dataclass(frozen=True)
class HeadScans:
    """Scans at baseline and follow-up under nnU-Net's names, with the parenchymal bleed as the only class.

    Attributes:
        cohort: The head cohort, written beside the data set.
        test_hospitals: Hospitals whose scans go to `imagesTs`; all others are for training.
    """

    cohort: HeadPhantom
    test_hospitals: Sequence[str]

    @property
    def name(self) -> str:
        """Folder name, unique for these arguments."""
        return f"segmentation_{self.cohort.name}_test{'_'.join(self.test_hospitals)}"

    def write(self, root: Path) -> None:
        """Write the cohort and copy its files, if they are missing."""
        if (root / "dataset.json").is_file():
            return
        cohort = root.parent / self.cohort.name
        self.cohort.write(cohort)
        with appearing(root) as folder:
            for ct in sorted(cohort.glob("*/*/*/ct.nii.gz")):
                hospital, patient, time = ct.parts[-4:-1]
                split = "Ts" if hospital in self.test_hospitals else "Tr"
                _copy(ct, folder / f"images{split}" / f"{patient}_{time}_0000.nii.gz")
                _copy(ct.with_name("iph.nii.gz"), folder / f"labels{split}" / f"{patient}_{time}.nii.gz")
            description = {
                "channel_names": {"0": "CT"},
                "labels": {"background": 0, "hematoma": 1},
                "numTraining": len(list((folder / "imagesTr").iterdir())),
                "file_ending": ".nii.gz",
            }
            (folder / "dataset.json").write_text(json.dumps(description, indent=2) + "\n")


@dataclass(frozen=True)
class HeadPictures:
    """Baseline slices with a bleed as PNG in `images` and `masks`, in a window of 0 to 100 HU.

    Attributes:
        cohort: The head cohort, written beside the images.
    """

    cohort: HeadPhantom

    @property
    def name(self) -> str:
        """Folder name, unique for these arguments."""
        return f"pictures_{self.cohort.name}"

    def write(self, root: Path) -> None:
        """Write the cohort and its slices, if they are missing."""
        write_pictures(root, self.cohort, "*/*/baseline/ct.nii.gz", "iph.nii.gz", (0, 100))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
