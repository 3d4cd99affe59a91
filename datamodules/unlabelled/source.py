"""Images of one kind: their files, patients and intensity window."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from medzoo.datamodules.io import VOLUMES, check_offset, holds_dicom, listed, read_volume
from medzoo.datamodules.io.dicom.files import DICOM
from medzoo.datamodules.io.finding import check_no_folder
from medzoo.datamodules.io.pictures.pages import is_picture, read_picture
from medzoo.datamodules.segmentation.cases import resample
from medzoo.datamodules.splits import patient_in

__all__ = ["ImageFile", "ImageSource"]

_RANGE = (0.5, 99.5)  # percentiles of images whose intensities have no unit


@dataclass(frozen=True)
class ImageFile:
    """An image and its patient."""

    id: str  # its path below the part of the pattern without wildcards, without ending
    patient: str  # the patient
    path: Path  # the file or folder


class ImageSource:
    """Volumes (NIfTI, NRRD, MetaImage, DICOM) or pictures.

    Args:
        files: Pattern below the root, or an absolute one: `ct/*.nii.gz`, `*/ct.nii.gz`, `**/*.png`. A folder that
            matches and holds DICOM is a volume; a DICOM file is one slice, or the volume of its frames.
        window: Intensities that become 0 and 1, such as -1000 and 1000 HU. Null takes the 0.5th and 99.5th percentile
            of each image: MR has no unit.
        patient: Regular expression whose first group is the patient in an id, such as `(.*)/ct`.
        spacing: Spacing in mm to resample to, z first; in the plane for volumes that are cut into slices. Pixels of
            pictures count as 1 mm. Null keeps images as they are.

    Raises:
        ValueError: If the window is empty.
    """

    def __init__(
        self,
        files: str,
        *,
        window: Sequence[float] | None = None,
        patient: str = "(.*)",
        spacing: Sequence[float] | None = None,
    ) -> None:
        if window is not None and not (len(window) == 2 and window[0] < window[1]):
            raise ValueError(f"window={list(window)}: expected two numbers, the lower first")
        self.files, self.window, self.patient = files, window, re.compile(patient)
        self.spacing = None if spacing is None else [float(side) for side in spacing]

    def find(self, root: Path) -> list[ImageFile]:
        """The images below a folder, in order of name.

        Raises:
            FileNotFoundError: If there are none.
            ValueError: If `patient` does not match.
        """
        parts = (root / self.files).parts
        first = next((index for index, part in enumerate(parts) if set(part) & set("*?[")), len(parts) - 1)
        fixed = Path(*parts[:first])
        paths = _images(listed(fixed, "/".join(parts[first:])))
        if not paths:
            raise FileNotFoundError(
                f"no image {root / self.files}: set datamodule.root, or the pattern of datamodule.sources"
            )
        found = []
        for path in paths:
            name = path.relative_to(fixed).as_posix()
            name = name if path.is_dir() else re.sub(r"\.(nii\.gz|\w+)$", "", name)
            unmatched = f"patient={self.patient.pattern!r} of datamodule.sources does not match {name}"
            found.append(ImageFile(name, patient_in(name, self.patient, unmatched), path))
        return found

    def read(self, path: Path) -> np.ndarray:
        """(Z, H, W) or (H, W) float32 in [0, 1].

        Raises:
            ValueError: If the file cannot be read, or holds NaN, or is no CT in HU where the window reaches below 0.
        """
        image, here = _read(path)
        if self.window is not None and self.window[0] < 0 and image.ndim == 3:
            check_offset(image, path)
        low, high = np.percentile(image, _RANGE) if self.window is None else self.window
        image = np.clip((image - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
        if self.spacing is None:
            return image
        spacing = [*here[: image.ndim - len(self.spacing)], *self.spacing]
        size = [max(1, round(n * old / new)) for n, old, new in zip(image.shape, here, spacing, strict=True)]
        return resample(torch.from_numpy(image)[None], size, here)[0].numpy()


def _images(paths: Sequence[Path]) -> list[Path]:
    """Readable images; a DICOM folder counts as one, and its files are skipped."""
    series = {path for path in paths if path.is_dir() and holds_dicom(path)}
    files = [path for path in paths if path.is_file() and path.parent not in series]
    kinds = (*VOLUMES, *DICOM)
    check_no_folder(paths, kinds)
    return sorted(series | {file for file in files if file.name.lower().endswith(kinds) or is_picture(file)})


def _read(path: Path) -> tuple[np.ndarray, tuple[float, ...]]:
    """An image, z first, and its spacing in mm."""
    if is_picture(path):
        return read_picture(path), (1.0, 1.0)
    volume = read_volume(path)
    return volume.array.astype(np.float32, copy=False), volume.spacing
