"""A head cohort that a config can instantiate."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from medzoo.datamodules.phantoms.head import causal
from medzoo.datamodules.phantoms.head.cohort import cohort_name, write_head_cohort

__all__ = ["HeadPhantom"]


@dataclass(frozen=True)
class HeadPhantom:
    """The arguments of `write_head_cohort`.

    Attributes:
        patients: Number of patients of each hospital.
        image_size: H = W in pixels.
        spacing_mm: Edge of a pixel in mm.
        slices: Slices of each scan.
        skull: Whether the skull is rendered, as from a scanner.
        signs: Whether bleeds that will expand tend to be mottled.
        seed: Seed of the cohort, independent of the seed of training.
    """

    patients: Mapping[str, int]
    image_size: int = 64
    spacing_mm: float = 3.0
    slices: int = 14
    skull: bool = False
    signs: bool = False
    seed: int = 0

    @property
    def name(self) -> str:
        """Folder name, unique for these arguments."""
        return cohort_name(**asdict(self))

    def write(self, root: Path) -> None:
        """Write the cohort to `root` if it is missing."""
        write_head_cohort(root, **asdict(self))

    def followup_volumes(self, columns: Mapping[str, np.ndarray], count: int, do: Mapping[str, float]) -> np.ndarray:
        """Follow-up volumes as the causal model draws them.

        Args:
            columns: Clinical variables in their units, (N,) each.
            count: Samples for each patient.
            do: Variables set by intervention.

        Returns:
            (N, count) mL of IPH; the noise is the same for every `do`.
        """
        return causal.followup_volumes(causal.do(dict(columns), **do), count, seed=0)
