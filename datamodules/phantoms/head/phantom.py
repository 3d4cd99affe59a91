"""A head cohort as a config describes it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from medzoo.datamodules.phantoms.head import causal
from medzoo.datamodules.phantoms.head.cohort import cohort_name, write_head_cohort

__all__ = ["HeadPhantom"]


@dataclass(frozen=True)
class HeadPhantom:
    """What `write_head_cohort` takes.

    Attributes:
        patients: Number of patients of each hospital.
        image_size: H = W in pixels.
        spacing_mm: Edge of a pixel in mm.
        slices: Slices of each scan.
        skull: Whether the skull is there, as from a scanner.
        signs: Whether bleeds that will expand tend to be mottled.
        seed: Of the cohort, apart from the seed of training.
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
        """Tells cohorts apart."""
        return cohort_name(**asdict(self))

    def write(self, root: Path) -> None:
        """Write it into `root`, where it is missing."""
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
