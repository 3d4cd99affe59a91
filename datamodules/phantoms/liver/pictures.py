"""Slices of the liver cohort as pictures with masks, as 2-D data are most often given out."""

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from datamodules.phantoms.liver.cohort import LiverPhantom
from datamodules.phantoms.writing import appearing

__all__ = ["LiverPictures"]

WINDOW = (-160, 240)
"""HU that are black and white."""


@dataclass(frozen=True)
class LiverPictures:
    """`images/<patient>_<slice>.png`, and `masks/` of the same names: the liver with its lesions, white.

    Attributes:
        cohort: Its CT is cut; it is written beside the pictures.
    """

    cohort: LiverPhantom

    @property
    def name(self) -> str:
        """Tells sets apart."""
        return f"pictures_{self.cohort.name}"

    def write(self, root: Path) -> None:
        """Write the slices that show liver, where they are missing."""
        if root.is_dir():
            return
        cohort = root.parent / self.cohort.name
        self.cohort.write(cohort)
        with appearing(root) as folder:
            for name in ("images", "masks"):
                (folder / name).mkdir()
            for file in sorted(cohort.glob("*/ct.nii.gz")):
                ct, liver = (np.asarray(nib.load(each).dataobj).T for each in (file, file.with_name("liver.nii.gz")))  # type: ignore[attr-defined]
                grey = (np.clip(ct, *WINDOW) - WINDOW[0]) * (255 / (WINDOW[1] - WINDOW[0]))
                for number in np.flatnonzero(liver.any((1, 2))):
                    name = f"{file.parent.name}_{number:02d}.png"
                    upright = (
                        slice(None, None, -1),
                        slice(None, None, -1),
                    )  # RAS to as it is looked at: front up, liver left
                    Image.fromarray(grey[number][upright].round().astype(np.uint8)).save(folder / "images" / name)
                    Image.fromarray(255 * (liver[number][upright] > 0).astype(np.uint8)).save(folder / "masks" / name)
