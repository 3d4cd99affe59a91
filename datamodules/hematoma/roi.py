"""Cut out the three slices of a bleed for a 2-D network: the one with the largest area, and its neighbours.

npj Digital Medicine 2025, s41746-025-02213-w; github.com/DeepMedX/sICH_HE, commit 7e16cd1 (no licence; read for facts).
The released code upsamples the volume 3.5 times along all axes, so the neighbours of the largest slice are
interpolated, 1.43 mm from it, and each slice has a tight box of its own. By default, neighbours here are scanned
slices, and one square box with a margin holds the bleed in all three.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage

from medzoo.datamodules.segmentation.cases import crop

__all__ = ["NAMES", "Box", "Neighbours", "roi_slices"]

Neighbours = Literal["native", "released"]
Box = Literal["margin", "tight"]
NAMES = ("up", "max", "low")
"""Names of the slice before the largest one, of that slice, and of the one after it."""

_UPSAMPLED = 3.5


def roi_slices(
    ct: np.ndarray,
    mask: np.ndarray,
    spacing_mm: Sequence[float],
    *,
    neighbours: Neighbours = "native",
    box: Box = "margin",
    margin_mm: float = 5.0,
    size: int = 64,
    window: tuple[float, float] = (0.0, 90.0),
) -> dict[str, np.ndarray]:
    """Cut the slices of one scan.

    Args:
        ct: (Z, H, W) in HU.
        mask: (Z, H, W), above 0 in the bleed, of which the largest connected part is used.
        spacing_mm: (z, y, x).
        neighbours: `native` slices, or interpolated ones a 3.5th of the slice distance away as released.
        box: `margin`, one square for all slices, `margin_mm` wider than the bleed; `tight`, the box of each slice as
            released, stretched to a square.
        margin_mm: On each side.
        size: H = W of the result in pixels.
        window: HU that become 0 and 255; W 90, L 45 by default.

    Returns:
        Slices (size, size) uint8 by `NAMES`; only those inside the scan and, with `tight`, with some of the bleed.

    Raises:
        ValueError: If the mask is empty, or on another grid.
    """
    if ct.shape != mask.shape:
        raise ValueError(f"CT {ct.shape} and mask {mask.shape} lie on different grids")
    bleed = _largest(np.asarray(mask) > 0)
    middle = _middle(bleed)
    step = 1.0 if neighbours == "native" else 1 / _UPSAMPLED
    low, high = window
    cut = {}
    for name, place in zip(NAMES, (middle - step, middle, middle + step), strict=True):
        if not 0 <= place <= len(ct) - 1:
            continue
        plane, inside = _slice_at(ct, place), bleed[round(place)]
        if box == "tight" and not inside.any():
            continue
        corner, sides = _tight(inside) if box == "tight" else _square(bleed, middle, spacing_mm, margin_mm)
        grey = (np.clip(plane, low, high) - low) * (255 / (high - low))
        cut[name] = _resized(crop(grey[None], corner, sides), size)
    return cut


def _largest(bleed: np.ndarray) -> np.ndarray:
    if not bleed.any():
        raise ValueError("the mask is empty: there is no bleed to cut out")
    parts, _ = ndimage.label(bleed, np.ones((3, 3, 3)))
    return parts == np.bincount(parts[parts > 0]).argmax()


def _middle(bleed: np.ndarray) -> int:
    """The slice with the largest area; of equal ones, the one nearest the centre of the bleed."""
    areas = bleed.sum((1, 2))
    largest = np.flatnonzero(areas == areas.max())
    center = areas @ np.arange(len(areas)) / areas.sum()
    return int(largest[np.abs(largest - center).argmin()])


def _slice_at(ct: np.ndarray, place: float) -> np.ndarray:
    """A slice at a fractional place, by cubic splines along z."""
    if place == int(place):
        return ct[int(place)].astype(np.float32)
    coefficients = ndimage.spline_filter1d(ct.astype(np.float32), axis=0)
    grid = np.meshgrid([place], *(np.arange(n) for n in ct.shape[1:]), indexing="ij")
    return ndimage.map_coordinates(coefficients, grid, order=3, prefilter=False)[0]


def _tight(inside: np.ndarray) -> tuple[Any, Any]:
    """First pixel and sides of a box around the bleed of a slice."""
    places = np.argwhere(inside)
    return places.min(0), np.ptp(places, axis=0) + 1


def _square(
    bleed: np.ndarray, middle: int, spacing_mm: Sequence[float], margin_mm: float
) -> tuple[list[int], list[int]]:
    """First pixel and sides of a box, square in mm, around the bleed of the three slices; may exceed the image."""
    starts, sides = _tight(np.any(bleed[max(middle - 1, 0) : middle + 2], axis=0))
    edge = max(sides * spacing_mm[1:]) + 2 * margin_mm
    counts = [round(edge / spacing) for spacing in spacing_mm[1:]]
    box = zip(starts, sides, counts, strict=True)
    return [round((2 * start + side - count) / 2) for start, side, count in box], counts


def _resized(grey: np.ndarray, size: int) -> np.ndarray:
    """Resize (1, h, w) to (size, size) uint8."""
    image = torch.from_numpy(grey)[None].float()
    resized = F.interpolate(image, (size, size), mode="bilinear", antialias=True)[0, 0]
    return resized.numpy().round().clip(0, 255).astype(np.uint8)
