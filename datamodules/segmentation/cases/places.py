"""Voxels that patches are drawn around: of each foreground class, and annotated ones."""

from collections.abc import Sequence

import numpy as np

__all__ = ["places_of"]

_KEPT = 10_000  # voxels of each class


def places_of(
    mask: np.ndarray | None, ignore: int | None, regions: Sequence[Sequence[int]] | None
) -> tuple[np.ndarray, list[int], np.ndarray, bool]:
    """Draw voxels of a mask.

    Args:
        mask: (*spatial) uint8, or None.
        ignore: Label value of voxels that are not annotated.
        regions: Label values of each region, if labels are regions.

    Returns:
        Voxels (n, axes) int16 of each foreground class or region, one after the other; how many each has; annotated
        voxels (n, axes) of a partly annotated mask, none of others; and whether no voxel at all is annotated.
    """
    none = np.zeros((0, 0 if mask is None else mask.ndim), np.int16)
    if mask is None:
        return none, [], none, False
    rng = np.random.default_rng(0)
    classes = regions or [[value] for value in np.unique(mask) if value not in (0, ignore)]
    found = [_some(np.isin(mask, values), rng) for values in classes]
    found = [voxels for voxels in found if len(voxels)]
    partly = ignore is not None and bool((mask == ignore).any())
    annotated = _some(mask != ignore, np.random.default_rng(1)) if partly else none
    return np.concatenate([none, *found]), [len(each) for each in found], annotated, partly and not len(annotated)


def _some(where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    voxels = np.argwhere(where)
    return voxels[rng.permutation(len(voxels))[:_KEPT]].astype(np.int16)
