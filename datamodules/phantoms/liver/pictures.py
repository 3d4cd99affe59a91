"""Slices of the liver cohort as pictures with masks, as 2-D data are most often given out."""

from dataclasses import dataclass
from pathlib import Path

from medzoo.datamodules.phantoms.liver.cohort import LiverPhantom
from medzoo.datamodules.phantoms.writing import write_pictures

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
        write_pictures(root, self.cohort, "*/ct.nii.gz", "liver.nii.gz", WINDOW)
