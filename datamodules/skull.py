"""Whether head CT comes with its skull or stripped of it: a network that learnt one sees little in the other.

The voxels tell, so that no record has to travel with a file. Of the tissue of a head 10 to 21% is bone above 300 HU (an
average head, a scanner's series, the head phantom); after skull stripping calcifications are left. Of an abdomen a few
percent are bone: nothing is said of it.
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
_STRIPPED, _INTACT = 0.005, 0.06  # shares of bone; between them nothing is said
_MOST = 0.9  # of the training images, that are of one kind


def bone_share(ct: np.ndarray, bone: float = BONE_HU) -> float:
    """Share of what is `bone` and more in what is above 0; NaN where nothing is. In HU, or where water is 0 too."""
    tissue = int((ct > 0).sum())
    return float((ct >= bone).sum() / tissue) if tissue else float("nan")


def skull_of(share: float | None) -> Skull | None:
    """What a share of bone says of a scan; None where it says nothing."""
    if share is None or np.isnan(share):
        return None
    return "stripped" if share <= _STRIPPED else "intact" if share >= _INTACT else None


def skull_of_all(shares: Sequence[float | None]) -> Skull | None:
    """What nearly all training scans are; None where they differ. Those of both kinds are told."""
    found = [skull_of(share) for share in shares]
    kinds: tuple[Skull, Skull] = ("stripped", "intact")
    counts = {kind: found.count(kind) for kind in kinds}
    if min(counts.values()) and sum(counts.values()) >= _MOST * len(found):
        log.warning(
            "%d of %d training images have no skull; bring them all to one kind", counts["stripped"], len(found)
        )
    return next((kind for kind, count in counts.items() if count and count >= _MOST * len(found)), None)


def check_skull(scans: Iterable[tuple[Path, float | None]], trained: Skull | None) -> None:
    """Refuse scans, by their shares of bone, that are not as those of the training; of which None accepts everything.

    Raises:
        ValueError: At the first that has a skull where those had none, or none where those had one.
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
