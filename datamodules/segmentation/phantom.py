"""The head phantom in nnU-Net's raw layout, or as pictures: written to disk once, then read like any other."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from datamodules.phantoms.head import HeadPhantom, cohort_name, write_head_cohort
from datamodules.phantoms.phantom import Phantom
from datamodules.phantoms.writing import appearing
from datamodules.segmentation.datamodule import SegmentationDataModule

__all__ = ["PicturesPhantomDataModule", "SegmentationPhantomDataModule", "SlicesPhantomDataModule"]


class SegmentationPhantomDataModule(SegmentationDataModule):
    """Head CT phantoms at baseline and follow-up, with the parenchymal bleed as the one class.

    Args:
        root: Folder below which cohort and data set are written, into folders that the arguments name.
        patients: Number of patients of each hospital.
        test_hospitals: Their scans make `imagesTs`; all others are for training.
        image_size: H = W in pixels.
        spacing_mm: Edge of a pixel in mm.
        slices: Slices of each scan.
        skull: Whether the skull is there, as from a scanner.
        phantom_seed: Seed of the cohort, apart from the seed of training.
        **options: Of `SegmentationDataModule`.
    """

    phantom = True

    def __init__(
        self,
        root: str | Path = "data/phantoms",
        *,
        patients: Mapping[str, int],
        test_hospitals: list[str],
        image_size: int = 64,
        spacing_mm: float = 3.0,
        slices: int = 14,
        skull: bool = True,
        phantom_seed: int = 0,
        **options: Any,
    ) -> None:
        scans = {"image_size": image_size, "spacing_mm": spacing_mm, "slices": slices, "skull": skull}
        self.scans: dict[str, Any] = {"patients": dict(patients), **scans, "seed": phantom_seed}
        name = cohort_name(**self.scans)
        options = {"patient": "(.*)_(?:baseline|followup)", **options}
        super().__init__(Path(root) / f"segmentation_{name}_test{'_'.join(test_hospitals)}", **options)
        self.cohort, self.test_hospitals = Path(root) / name, test_hospitals

    def fetch(self) -> None:
        """Write the cohort and link its files under nnU-Net's names, where they are missing."""
        if (self.root / "dataset.json").is_file():
            return
        write_head_cohort(self.cohort, **self.scans)
        with appearing(self.root) as folder:
            for ct in sorted(self.cohort.glob("*/*/*/ct.nii.gz")):
                hospital, patient, time = ct.parts[-4:-1]
                split = "Ts" if hospital in self.test_hospitals else "Tr"
                _copy(ct, folder / f"images{split}" / f"{patient}_{time}_0000.nii.gz")
                _copy(ct.with_name("iph.nii.gz"), folder / f"labels{split}" / f"{patient}_{time}.nii.gz")
            said = {
                "channel_names": {"0": "CT"},
                "labels": {"background": 0, "hematoma": 1},
                "numTraining": len(list((folder / "imagesTr").iterdir())),
                "file_ending": ".nii.gz",
            }
            (folder / "dataset.json").write_text(json.dumps(said, indent=2) + "\n")


class SlicesPhantomDataModule(SegmentationDataModule):
    """Baseline slices of the head phantom that hold a bleed, as pictures in a window of 0 to 100 HU.

    Args:
        root: Folder below which cohort and pictures are written, into folders that the arguments name.
        patients: Number of patients of each hospital.
        image_size: H = W in pixels.
        spacing_mm: Edge of a pixel in mm.
        slices: Slices of each scan.
        skull: Whether the skull is there, as from a scanner.
        phantom_seed: Seed of the cohort, apart from the seed of training.
        **options: Of `SegmentationDataModule`.
    """

    phantom = True

    def __init__(
        self,
        root: str | Path = "data/phantoms",
        *,
        patients: Mapping[str, int],
        image_size: int = 64,
        spacing_mm: float = 3.0,
        slices: int = 14,
        skull: bool = True,
        phantom_seed: int = 0,
        **options: Any,
    ) -> None:
        self.head = HeadPhantom(patients, image_size, spacing_mm, slices, skull, seed=phantom_seed)
        super().__init__(Path(root) / f"pictures_{self.head.name}", **options)
        self.cohort = Path(root) / self.head.name

    def fetch(self) -> None:
        """Write the cohort and its slices, where they are missing."""
        if self.root.is_dir():
            return
        self.head.write(self.cohort)
        with appearing(self.root) as folder:
            for name in ("images", "masks"):
                (folder / name).mkdir()
            for file in sorted(self.cohort.glob("*/*/baseline/ct.nii.gz")):
                ct, bleed = (np.asarray(nib.load(each).dataobj).T for each in (file, file.with_name("iph.nii.gz")))  # type: ignore[attr-defined]
                for number in np.flatnonzero(bleed.any((1, 2))):
                    name = f"{file.parts[-3]}_{number:02d}.png"
                    grey = np.clip(ct[number, ::-1, ::-1], 0, 100) * 2.55
                    Image.fromarray(grey.round().astype(np.uint8)).save(folder / "images" / name)
                    Image.fromarray(255 * bleed[number, ::-1, ::-1].astype(np.uint8)).save(folder / "masks" / name)


class PicturesPhantomDataModule(SegmentationDataModule):
    """Pictures of any phantom that writes `images` and `masks`.

    Args:
        root: Folder that holds the pictures, in a folder that the phantom names.
        phantom: Written where it is missing.
        **options: Of `SegmentationDataModule`.
    """

    def __init__(self, root: str | Path = "data/phantoms", *, phantom: Phantom, **options: Any) -> None:
        super().__init__(Path(root) / phantom.name, **options)
        self._phantom = phantom
        self.phantom = True

    def fetch(self) -> None:
        """Write the pictures where they are missing."""
        self._phantom.write(self.root)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
