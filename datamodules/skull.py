"""Tell skull-stripped head CT from intact: a network trained on one does poorly on the other.

The share of bone decides, so that files need no record. In an intact head 10 to 21% of the tissue is bone above 300 HU
(an average head, a scanner's series, the head phantom); after skull stripping only calcifications are left. An abdomen
has a few percent of bone and is neither.
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

__all__ = ["Skull", "bone_share", "check_skull", "skull_of", "skull_of_all"]

log = logging.getLogger(__name__)

Skull = Literal["stripped", "intact"]

BONE_HU = 300.0
_STRIPPED, _INTACT = 0.005, 0.06  # shares of bone; a scan between them is neither
_MOST = 0.9  # share of the training images that must be of one kind


def bone_share(ct: np.ndarray, bone: float = BONE_HU) -> float:
    """Share of voxels at or above `bone` among those above 0, NaN if none is; in HU, or a unit with water at 0."""
    tissue = int((ct > 0).sum())
    return float((ct >= bone).sum() / tissue) if tissue else float("nan")


def skull_of(share: float | None) -> Skull | None:
    """Classify a scan by its share of bone; None if it is neither."""
    if share is None or np.isnan(share):
        return None
    return "stripped" if share <= _STRIPPED else "intact" if share >= _INTACT else None


def skull_of_all(shares: Sequence[float | None]) -> Skull | None:
    """The kind of nearly all training scans, else None; a mixture is logged."""
    found = [skull_of(share) for share in shares]
    kinds: tuple[Skull, Skull] = ("stripped", "intact")
    counts = {kind: found.count(kind) for kind in kinds}
    if min(counts.values()) and sum(counts.values()) >= _MOST * len(found):
        log.warning(
            "%d of %d training images have no skull; bring them all to one kind", counts["stripped"], len(found)
        )
    return next((kind for kind, count in counts.items() if count and count >= _MOST * len(found)), None)


def check_skull(scans: Iterable[tuple[Path, float | None]], trained: Skull | None) -> None:
    """Refuse scans that differ in kind from those of the training, by share of bone; `trained=None` accepts all.

    Raises:
        ValueError: If a scan has a skull and the training scans had none, or the other way round.
    """
    for file, share in scans:
        kind = skull_of(share) if trained else None
        if kind and kind != trained:
            raise ValueError(f"{file}: {_SAID[kind]}")


_SAID = {
    "stripped": "no bone (above 300 HU), as after skull stripping, but the training images had their skull; give the "
    "scan as it was, or bring it in by prepare.py with preparation.skull_strip=null",
    "intact": "has its skull, but the training images were skull-stripped; strip it by prepare.py preparation=head_ct",
}
