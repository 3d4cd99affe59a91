"""A head cohort that a config can instantiate."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medzoo.datamodules.io import read_table
from medzoo.datamodules.phantoms.head import causal
from medzoo.datamodules.phantoms.head.cohort import cohort_name, write_head_cohort
from medzoo.datamodules.phantoms.head.signs import SIGNS, Columns, signs_given

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
        signs: Signs of expansion that scans show (`signs.py`): mottled, published or confounded; None for none. True
            means mottled.
        seed: Seed of the cohort, independent of the seed of training.
    """

    patients: Mapping[str, int]
    image_size: int = 64
    spacing_mm: float = 3.0
    slices: int = 14
    skull: bool = False
    signs: str | bool | None = None
    seed: int = 0

    @property
    def name(self) -> str:
        """Folder name, unique for these arguments."""
        return cohort_name(**self._arguments)

    @property
    def _arguments(self) -> dict[str, Any]:
        return {**asdict(self), "signs": "mottled" if self.signs is True else self.signs or None}

    def write(self, root: Path) -> None:
        """Write the cohort to `root` if it is missing."""
        write_head_cohort(root, **self._arguments)

    def shown(self, root: Path, names: Sequence[str]) -> Columns:
        """Signs that the scans of patients show, 0 or 1 (N,) by name of the sign, from `truth.csv` in `root`.

        Empty if scans show none that act.
        """
        if self.signs not in ("published", "confounded"):
            return {}
        rows = read_table(root / "truth.csv").by("Patient_ID")
        return {sign: np.array([float(rows[name][sign]) for name in names]) for sign in SIGNS}

    def followup_volumes(
        self, columns: Columns, count: int, do: Mapping[str, float], shown: Columns | None = None
    ) -> np.ndarray:
        """Follow-up volumes as the causal model draws them.

        Args:
            columns: Clinical variables in their units, (N,) each.
            count: Samples for each patient.
            do: Variables set by intervention.
            shown: Signs on the scans, from `shown`; None if the scan is not seen.

        Returns:
            (N, count) mL of IPH; the noise is the same for every `do`.
        """
        confounded = self.signs == "confounded"
        if shown is None and self.signs in ("published", "confounded"):
            likely = signs_given(columns, count, confounded=confounded)
            shown = {sign: likely[sign] for sign in SIGNS}
        rows = {**causal.do(dict(columns), **do), **(shown or {})}
        return causal.followup_volumes(rows, count, seed=0, confounded=confounded)
