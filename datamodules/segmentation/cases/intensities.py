"""Intensities of the foreground of training images, by which images are clipped and scaled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medzoo.datamodules.segmentation.cases.reading import read_files
from medzoo.datamodules.segmentation.files import CaseFiles
from medzoo.datamodules.store import Made, Store

__all__ = ["Intensities", "measure"]

_KEPT = 100_000  # foreground voxels that are kept of a case
_POOLED = 10_000_000  # of all cases together, as in nnU-Net


@dataclass(frozen=True)
class Intensities:
    """Intensities of the foreground of the training images, for nnU-Net's normalisation of CT."""

    low: float  # 0.5th percentile; lower values are raised to it
    high: float  # 99.5th percentile
    mean: float  # of the foreground
    std: float  # of the foreground

    @classmethod
    def window(cls, low: float, high: float) -> "Intensities":
        """Intensities that map a window to [0, 1]."""
        return cls(low, high, low, high - low)

    @property
    def bounds(self) -> tuple[float, float]:
        """`low` and `high`."""
        return self.low, self.high


def measure(cases: Sequence[CaseFiles], classes: int, store: Store, ignore: int | None = None) -> list[Intensities]:
    """Measure the intensities of the foreground of training cases, for each channel.

    Every case gives equally many voxels, or all that it has if they are fewer. Voxels labelled `ignore` are not
    foreground.

    Raises:
        ValueError: If no case has foreground.
    """
    jobs = [store.job(case.id, foreground, case, case.files, (classes, ignore, case.colours)) for case in cases]
    entries = store.fill(jobs, "foreground intensities")
    most = max(1, _POOLED // len(cases))
    drawn = [entry["foreground"][:, :most] for entry in entries if entry["foreground"].shape[1]]
    if not drawn:
        raise ValueError("no training mask has a voxel of foreground: there is nothing to learn")
    return [
        Intensities(*(float(x) for x in (*np.percentile(channel, [0.5, 99.5]), channel.mean(), channel.std())))
        for channel in np.concatenate(drawn, axis=1)
    ]


def foreground(case: CaseFiles, settings: tuple[int, int | None, object]) -> Made:
    """Intensities (C, n) of voxels of the foreground in random order, at most `_KEPT`."""
    classes, ignore, _ = settings
    image, mask, _ = read_files(case, classes)
    known = True if ignore is None else mask != ignore
    inside = image[:, (mask > 0) & known] if mask is not None else image[:, :0]
    order = np.random.default_rng(1234).permutation(inside.shape[1])[:_KEPT]
    return Made({"foreground": inside[:, order]})
