"""What is said of cases, on its way back to files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from datamodules import io
from datamodules.io.pictures import is_picture, write_picture
from datamodules.segmentation.cases import Case
from datamodules.segmentation.files import CaseFiles

__all__ = ["WrittenCases"]


class WrittenCases:
    """Of a datamodule of cases, what those ask for who write."""

    _predict: Sequence[CaseFiles]
    _cases: Mapping[str, Sequence[Case]]

    formats = (".png", *io.VOLUMES)
    """How names of predictions may end."""

    @staticmethod
    def write_like(array: np.ndarray, source: Path, file: Path) -> None:
        """Write what is said of a case, all or nothing: a `.png` as it is, a volume onto the grid of its file."""
        if file.suffix == ".png":
            write_picture(array, file)
        else:
            io.write_like(array, source, file)

    @staticmethod
    def ending(case: CaseFiles) -> str:
        """How the name of what is said of a case ends: as its image's; of a picture `.png`, of DICOM `.nii.gz`."""
        image = case.images[0]
        return ".png" if is_picture(image) else io.volume_ending(image) or ".nii.gz"

    @property
    def predict_cases(self) -> dict[str, CaseFiles]:
        """By id, what is to be predicted."""
        return {case.id: case for case in self._predict}

    @property
    def predict_endings(self) -> dict[str, str]:
        """By id, the `ending` of its prediction."""
        return {case.id: self.ending(case) for case in self._predict}

    @property
    def unit(self) -> str:
        """Of sizes of the test cases: `mm`, or `px` where all are pictures."""
        return "px" if all(is_picture(case.files.images[0]) for case in self._cases["test"]) else "mm"
