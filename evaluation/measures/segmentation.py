"""Agreement of a predicted label map with the reference: overlap, distance of surfaces, volumes.

A class that is in neither of both has NaN scores, which are left out of means, as in nnU-Net
(`evaluation/evaluate_predictions.py`). A class that is in only one of them has Dice and IoU 0.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from medzoo.evaluation.measures.volumes import dice, volume_ml

__all__ = ["case_scores", "grouped_dice", "hausdorff95", "known_mean", "summary", "surface_dice"]


def case_scores(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_mm: Sequence[float],
    classes: Sequence[str],
    *,
    regions: Sequence[Sequence[int]] | None = None,
    ignore: int | None = None,
    tolerance_mm: float = 2.0,
) -> dict[str, float]:
    """Scores of one case.

    Args:
        prediction: (*spatial) label values.
        reference: (*spatial) label values.
        spacing_mm: Edge lengths of a voxel, in the order of the axes.
        classes: Names by label value, or of regions; the first is the background, which has no scores.
        regions: Label values of each region; none where each class is its label value.
        ignore: Label value of voxels that are not annotated; predictions there do not count.
        tolerance_mm: Of `nsd_<name>`, in the unit of `spacing_mm`.

    Returns:
        For each class `dice_<name>`, `iou_<name>` and `nsd_<name>` (NaN where both are empty), `hd95_<name>` in mm (NaN
        where one is empty), `volume_<name>_ml` and `true_volume_<name>_ml`.
    """
    scores = {}
    values = regions or [[value] for value in range(1, len(classes))]
    known = True if ignore is None else reference != ignore
    for name, group in zip(classes[1:], values, strict=True):
        one, other = np.isin(prediction, group) & known, np.isin(reference, group) & known
        overlap = dice(one, other)
        scores[f"dice_{name}"], scores[f"iou_{name}"] = overlap, overlap / (2 - overlap)
        away = _surface_distances(one, other, spacing_mm)
        scores[f"hd95_{name}"], scores[f"nsd_{name}"] = _hausdorff95(away), _within(away, tolerance_mm)
        scores[f"volume_{name}_ml"] = float(volume_ml(one, spacing_mm))
        scores[f"true_volume_{name}_ml"] = float(volume_ml(other, spacing_mm))
    return scores


def grouped_dice(rows: Sequence[dict[str, Any]], groups: Sequence[str], classes: Sequence[str]) -> float:
    """Dice over all voxels of a group of cases, such as the slices of a patient; the mean over groups, then classes.

    Args:
        rows: From `case_scores`.
        groups: The group of each row.
        classes: Names by label value, the first being the background.

    Returns:
        The mean, without groups that have a class in neither prediction nor reference.
    """
    means = []
    for name in classes[1:]:
        overlap = np.array([row[f"dice_{name}"] for row in rows])
        total = np.array([row[f"volume_{name}_ml"] + row[f"true_volume_{name}_ml"] for row in rows])
        scores = []
        for group in np.unique(groups):
            of_it = (np.asarray(groups) == group) & (total > 0)
            if of_it.any():
                scores.append((overlap * total)[of_it].sum() / total[of_it].sum())
        means.append(known_mean(scores))
    return known_mean(means)


def known_mean(values: Sequence[float] | np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN where there are none."""
    known = np.asarray(values, dtype=float)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else float("nan")


def hausdorff95(a: np.ndarray, b: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """95th percentile of the distances from the surface of one mask to that of the other, in mm; the larger direction.

    Args:
        a: (*spatial) mask.
        b: The same.
        spacing_mm: Edge lengths of a voxel.

    Returns:
        The distance; NaN where one or both are empty.
    """
    return _hausdorff95(_surface_distances(a, b, spacing_mm))


def surface_dice(a: np.ndarray, b: np.ndarray, spacing_mm: Sequence[float], tolerance_mm: float) -> float:
    """Normalised surface Dice: the share of both surfaces that is within a tolerance of the other one.

    Nikolov et al. 2021 (doi:10.2196/26151), with voxels of the surface counted, as MONAI does, not their areas.

    Args:
        a: (*spatial) mask.
        b: The same.
        spacing_mm: Edge lengths of a voxel.
        tolerance_mm: Distance that counts as agreement.

    Returns:
        0 to 1; 0 where one is empty, NaN where both are.
    """
    return _within(_surface_distances(a, b, spacing_mm), tolerance_mm)


_Distances = tuple[np.ndarray, np.ndarray]
"""Of the voxels of each surface, the distance in mm from the other one; infinite where that does not exist."""


def _surface_distances(a: np.ndarray, b: np.ndarray, spacing_mm: Sequence[float]) -> _Distances:
    either = np.nonzero(a | b)
    if not len(either[0]):
        return np.empty(0), np.empty(0)
    box = tuple(slice(int(at.min()), int(at.max()) + 1) for at in either)  # both masks are empty outside
    surfaces = [np.pad(mask[box], 1) for mask in (a, b)]
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in surfaces]
    away = [
        ndimage.distance_transform_edt(~surface, sampling=tuple(spacing_mm))
        if surface.any()
        else np.full(surface.shape, np.inf)
        for surface in surfaces
    ]
    return away[1][surfaces[0]], away[0][surfaces[1]]


def _hausdorff95(away: _Distances) -> float:
    if not all(len(each) for each in away):
        return float("nan")
    return float(max(np.percentile(each, 95) for each in away))


def _within(away: _Distances, tolerance_mm: float) -> float:
    both = np.concatenate(away)
    return float((both <= tolerance_mm).mean()) if len(both) else float("nan")


def summary(rows: Sequence[dict[str, Any]], classes: Sequence[str]) -> dict[str, float]:
    """Means over cases, then over the classes but the background, both without NaN.

    Args:
        rows: From `case_scores`, one for each case.
        classes: Names by label value.

    Returns:
        `dice`, `iou`, `nsd`, `hd95_mm` (over cases where both have the class), `scored` (cases times classes where
        prediction or reference has the class), `missed` (those where only one has it), `volume_mae_ml`,
        `volume_bias_ml`;
        with several classes also `dice_<name>` and `scored_<name>`.
    """
    names = list(classes[1:])
    column = {key: np.array([[row[key.format(name)] for name in names] for row in rows]) for key in _KEYS}
    error = column["volume_{}_ml"] - column["true_volume_{}_ml"]
    scored = ~np.isnan(column["dice_{}"])
    dice, iou, nsd = ([known_mean(values) for values in column[key].T] for key in ("dice_{}", "iou_{}", "nsd_{}"))
    found = {
        "dice": known_mean(dice),
        "iou": known_mean(iou),
        "nsd": known_mean(nsd),
        "hd95_mm": known_mean([known_mean(values) for values in column["hd95_{}"].T]),
        "scored": int(scored.sum()),
        "missed": int((scored & np.isnan(column["hd95_{}"])).sum()),
        "volume_mae_ml": float(np.abs(error).mean()),
        "volume_bias_ml": float(error.mean()),
    }
    if len(names) > 1:
        found |= {f"dice_{name}": value for name, value in zip(names, dice, strict=True)}
        found |= {f"scored_{name}": int(count) for name, count in zip(names, scored.sum(0), strict=True)}
    return found


_KEYS = ("dice_{}", "iou_{}", "nsd_{}", "hd95_{}", "volume_{}_ml", "true_volume_{}_ml")
