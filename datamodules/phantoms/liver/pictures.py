"""Slices of the liver cohort as PNG with masks, a common layout of 2-D data."""

from dataclasses import dataclass
from pathlib import Path

from medzoo.datamodules.phantoms.liver.cohort import LiverPhantom
from medzoo.datamodules.phantoms.writing import write_pictures

__all__ = ["LiverPictures"]

WINDOW = (-160, 240)
"""HU shown as black and as white."""


@dataclass(frozen=True)
class LiverPictures:
    """`images/<patient>_<slice>.png`, and `masks/` with the same names: liver and lesions in white.

    Attributes:
        cohort: The cohort whose CT is sliced; it is written beside the images.
    """

    cohort: LiverPhantom

    @property
    def name(self) -> str:
        """Folder name, unique for these arguments."""
        return f"pictures_{self.cohort.name}"

    def write(self, root: Path) -> None:
        """Write the slices that show liver, if they are missing."""
        write_pictures(root, self.cohort, "*/ct.nii.gz", "liver.nii.gz", WINDOW)
