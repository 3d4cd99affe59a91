"""A synthetic cohort in the follow-up layout: written to disk once, then read like any other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.followup.clinical import CLINICAL
from datamodules.followup.datamodule import FollowupDataModule
from datamodules.phantoms.head import causal, cohort_name, write_head_cohort

__all__ = ["FollowupPhantomDataModule"]


class FollowupPhantomDataModule(FollowupDataModule):
    """Head phantoms whose follow-up obeys a documented causal model (`datamodules/phantoms/head/causal.py`).

    Args:
        root: Folder below which the cohort is written, into a folder that its arguments name.
        patients: Number of patients of each hospital.
        val_hospitals: Hospitals for validation.
        test_hospitals: Hospitals for the test.
        image_size: H = W in pixels.
        spacing_mm: Edge of a pixel in mm.
        slices: Slices of each scan.
        phantom_seed: Seed of the cohort, apart from the seed of training.
        **options: Of `FollowupDataModule`.
    """

    phantom = True

    def __init__(
        self,
        root: str | Path = "data/phantoms",
        *,
        patients: Mapping[str, int],
        val_hospitals: list[str],
        test_hospitals: list[str],
        image_size: int = 64,
        spacing_mm: float = 3.0,
        slices: int = 14,
        phantom_seed: int = 0,
        **options: Any,
    ) -> None:
        scans = {"image_size": image_size, "spacing_mm": spacing_mm, "slices": slices, "seed": phantom_seed}
        self.scans: dict[str, Any] = {"patients": dict(patients), **scans}
        super().__init__(
            Path(root) / cohort_name(**self.scans),
            val_hospitals=val_hospitals,
            test_hospitals=test_hospitals,
            image_size=image_size,
            **options,
        )

    def fetch(self) -> None:
        """Write the cohort where it is missing; one that another version of the generator wrote is an error."""
        write_head_cohort(self.root, **self.scans)

    def true_followup_volumes(
        self, clinical: np.ndarray, count: int, do: Mapping[str, float] | None = None
    ) -> np.ndarray:
        """What a forecaster who knows the causal model would say.

        Args:
            clinical: (N, 7) scaled to [0, 1].
            count: Samples for each patient.
            do: Variables set by intervention, in their units.

        Returns:
            (N, count) IPH volumes at follow-up in mL; the noise is the same for every `do`.
        """
        low, high = np.array(list(CLINICAL.values())).T
        columns = dict(zip(CLINICAL, (clinical.astype(float) * (high - low) + low).T, strict=True))
        return causal.followup_volumes(causal.do(columns, **(do or {})), count, seed=0)
