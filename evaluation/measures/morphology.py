"""Size and shape of the four chambers of a fetal heart, measured in a segmented four-chamber view.

The paper that uses these predictors does not define them; the definitions are ours. The largest connected piece of
each chamber is measured, in pixels of `spacing_mm`:

- area: pixels times the area of a pixel, mm2;
- length, diameter: major and minor axis of the ellipse with the same second moments, mm (4 roots of the
  eigenvalues of the covariance of pixel positions); the diameter is thus the width across the long axis;
- feret: the largest distance between two points of the outline of the convex hull, mm;
- ellipticity: diameter / length, 1 for a circle and less for a slender chamber;
- area ratios: left over right, of the atria and of the ventricles;
- septum: on the line between the centroids of the ventricles, the stretch from where it leaves the left one to
  where it enters the right one, mm, to a pixel.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from skimage.measure import label, regionprops

__all__ = ["CHAMBERS", "morphology"]

CHAMBERS = {"LV": 1, "RV": 2, "LA": 3, "RA": 4}  # values of a mask; 0 is everything else


class Piece(Protocol):
    """Properties of a connected piece in mm, from `skimage.measure.regionprops`."""

    area: float
    axis_major_length: float
    axis_minor_length: float
    feret_diameter_max: float
    centroid: tuple[float, float]
    coords: np.ndarray


_SAMPLES = 20  # for each pixel of the line across the septum


def morphology(mask: np.ndarray, spacing_mm: Sequence[float]) -> tuple[dict[str, float], list[str]]:
    """Measure one segmented view.

    Args:
        mask: (H, W) of 0 and the values of `CHAMBERS`.
        spacing_mm: Height and width of a pixel in mm.

    Returns:
        For LV, RV, LA and RA: `<chamber>_area` in mm2, `_diameter`, `_length` and `_feret` in mm, `_ellipticity`
        in (0, 1]; `LV_RV_area_ratio`, `LA_RA_area_ratio`; `interventricular_septal_thickness` in mm. NaN where a
        chamber is not in the mask: it may be absent, or not segmented. And warnings, a sentence each.

    Raises:
        ValueError: If the mask is not flat or holds other values, or the spacing is not two lengths.
    """
    mask, spacing = np.asarray(mask), tuple(float(edge) for edge in spacing_mm)
    if mask.ndim != 2:
        raise ValueError(f"a mask of shape {mask.shape} is not a view of four chambers (height, width)")
    if len(spacing) != 2 or not all(np.isfinite(edge) and edge > 0 for edge in spacing):
        raise ValueError(f"spacing_mm={spacing}: give the height and the width of a pixel in mm, both above 0")
    others = [f"{value:g}" for value in np.unique(mask) if value not in (0, *CHAMBERS.values())]
    if others:
        known = ", ".join(f"{value} {name}" for name, value in CHAMBERS.items())
        raise ValueError(f"the mask holds the labels {', '.join(others[:5])}; known are 0 background, {known}")
    notes: list[str] = []
    pieces = {name: _largest(mask == value, spacing, name, notes) for name, value in CHAMBERS.items()}
    measured = {f"{name}_{key}": size for name, piece in pieces.items() for key, size in _shape(piece).items()}
    for left, right in (("LV", "RV"), ("LA", "RA")):
        measured[f"{left}_{right}_area_ratio"] = measured[f"{left}_area"] / measured[f"{right}_area"]
    measured["interventricular_septal_thickness"] = _septum(pieces["LV"], pieces["RV"], mask.shape, spacing)
    return measured, notes


def _largest(inside: np.ndarray, spacing: tuple[float, ...], name: str, notes: list[str]) -> Piece | None:
    """Properties of the largest piece of a chamber, None if there is none; warnings go to the notes."""
    pieces = sorted(regionprops(label(inside, connectivity=2), spacing=spacing), key=lambda piece: -piece.area)
    if not pieces:
        notes.append(f"{name} is not outlined: its measures are missing")
        return None
    if len(pieces) > 1:
        notes.append(f"{name} is outlined in {len(pieces)} pieces: the largest is measured")
    if pieces[0].axis_minor_length == 0:
        notes.append(f"{name} is one pixel wide: its diameter and ellipticity are missing")
    return pieces[0]


def _shape(piece: Piece | None) -> dict[str, float]:
    """Measures of a piece in mm and mm2, all NaN if there is none."""
    if piece is None:
        return dict.fromkeys(("area", "diameter", "length", "feret", "ellipticity"), float("nan"))
    length, diameter = float(piece.axis_major_length), float(piece.axis_minor_length) or float("nan")
    return {
        "area": float(piece.area),
        "diameter": diameter,
        "length": length,
        "feret": float(piece.feret_diameter_max),
        "ellipticity": diameter / length if length else float("nan"),
    }


def _septum(left: Piece | None, right: Piece | None, shape: tuple[int, ...], spacing: tuple[float, ...]) -> float:
    """Millimetres between the ventricles on the line from centroid to centroid; NaN where it misses one."""
    if left is None or right is None:
        return float("nan")
    ends = np.array([left.centroid, right.centroid])  # in mm, as the spacing scales them
    path = np.diff(ends / spacing, axis=0)[0]
    steps = np.linspace(0, 1, max(2, int(_SAMPLES * np.linalg.norm(path))))
    pixels = np.rint(ends[0] / spacing + steps[:, None] * path).astype(int)
    side = np.zeros(shape, int)
    for value, piece in ((1, left), (2, right)):
        side[tuple(piece.coords.T)] = value
    met = side[tuple(pixels.T)]
    leaves = steps[met == 1].max(initial=-1)
    enters = steps[(met == 2) & (steps > leaves)].min(initial=2)
    return (
        float((enters - leaves) * np.linalg.norm(np.diff(ends, axis=0)))
        if leaves >= 0 and enters <= 1
        else float("nan")
    )
