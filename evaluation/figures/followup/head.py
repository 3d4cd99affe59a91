"""How a head CT is shown: radiological convention, brain window, thin contours, a scale bar and sides.

Slices are (H, W) = (y, x) with RAS+ axes: rows run from posterior to anterior, columns from the patient's left to the
right. On screen the patient's right is on the left and anterior is up, as if seen from the feet.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from medzoo.evaluation.figures.style import COLOURS

__all__ = [
    "BASELINE",
    "IPH",
    "IVH",
    "Panel",
    "brain_box",
    "display_slice",
    "draw_panel",
    "image_axes",
    "lesion_slices",
    "outline_legend",
    "probability_bar",
]

BRAIN_WINDOW = (0.0, 80.0)  # HU: width 80, level 40
IPH = (COLOURS[4], "solid")  # orange and sky blue differ in hue and lightness for every kind of colour vision
IVH = (COLOURS[5], "solid")
BASELINE = (
    COLOURS[2],
    (0, (3, 1.5)),
)  # green is visible on grey, on blood and on all colours of the probability
_PROBABILITY = "magma"
_FAINTEST = 0.05  # lower probabilities are transparent, or the noise of few samples would tint the whole brain

Look = tuple[str, Any]  # colour and line style


@dataclass
class Panel:
    """Content of one column of slices.

    Attributes:
        title: Above its first slice.
        ct: (Z, H, W) in HU.
        outlines: Masks (Z, H, W), or None where unknown, and how their outline looks.
        probability: (Z, H, W) drawn over the CT.
    """

    title: str
    ct: np.ndarray
    outlines: Sequence[tuple[np.ndarray | None, Look]] = ()
    probability: np.ndarray | None = None


def display_slice(plane: np.ndarray) -> np.ndarray:
    """Turn slices (..., H, W) from RAS+ order to the screen, where rows run down and columns run right.

    Args:
        plane: Row 0 posterior, column 0 at the patient's left.

    Returns:
        The same values with row 0 anterior and column 0 at the patient's right.
    """
    return np.asarray(plane)[..., ::-1, ::-1]


def brain_box(ct: np.ndarray, margin: int = 2) -> tuple[slice, slice]:
    """Rows and columns of (Z, H, W) that hold the brain, i.e. values above 0, and a margin in voxels."""
    inside = np.any(np.asarray(ct) > 0, axis=0)
    if not np.any(inside):
        return slice(None), slice(None)
    rows, columns = np.flatnonzero(np.any(inside, axis=1)), np.flatnonzero(np.any(inside, axis=0))
    return _span(rows, margin), _span(columns, margin)


def _span(found: np.ndarray, margin: int) -> slice:
    return slice(max(0, int(found[0]) - margin), int(found[-1]) + 1 + margin)


def lesion_slices(mask: np.ndarray, count: int = 3) -> list[int]:
    """The `count` slices around the largest area of a mask (Z, H, W), or around the middle, from the top one down."""
    depth = len(mask)
    area = np.asarray(mask).reshape(depth, -1).sum(1)
    centre = int(area.argmax()) if area.any() else depth // 2
    first = int(np.clip(centre - count // 2, 0, max(depth - count, 0)))
    return list(range(first, min(first + count, depth)))[::-1]


def image_axes(axes: Axes, image: np.ndarray, spacing_mm: Sequence[float] = (1, 1), **options: Any) -> AxesImage:
    """Draw a slice (H, W) in display order, CT in HU in the brain window by default."""
    low, high = BRAIN_WINDOW
    look = {"cmap": "gray", "vmin": low, "vmax": high, "aspect": spacing_mm[0] / spacing_mm[1], **options}
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes.imshow(display_slice(image), **look)


def outline(axes: Axes, mask: np.ndarray | None, look: Look) -> None:
    """Outline of a mask (H, W), where there is one."""
    if mask is not None and 0 < np.sum(np.asarray(mask) > 0.5) < np.size(mask):
        shown = display_slice(np.asarray(mask) > 0.5).astype(float)
        axes.contour(shown, [0.5], colors=look[0], linestyles=[look[1]], linewidths=1.1)


def draw_panel(
    column: Sequence[Axes],
    panel: Panel,
    slices: Sequence[int],
    box: tuple[slice, slice],
    spacing_mm: Sequence[float] | None,
) -> None:
    """Draw a panel's slices with sides and scale.

    Args:
        column: One axes for each slice.
        panel: What is shown.
        slices: Indices along Z.
        box: Rows and columns shown.
        spacing_mm: Spacing along (Z, H, W) in mm; without it voxels are square and no scale is drawn.
    """
    pixel_mm = (1.0, 1.0) if spacing_mm is None else spacing_mm[1:]
    for axes, z in zip(column, slices, strict=True):
        image_axes(axes, panel.ct[z][box], pixel_mm, interpolation="bilinear")
        if panel.probability is not None:
            shown = panel.probability[z][box]
            alpha = 0.85 * (display_slice(shown) >= _FAINTEST)
            image_axes(axes, shown, pixel_mm, cmap=_PROBABILITY, vmin=0, vmax=1, alpha=alpha)
        for mask, look in panel.outlines:
            outline(axes, None if mask is None else mask[z][box], look)
        _label_sides(axes)
        if spacing_mm is not None:
            _scale_bar(axes, panel.ct[z][box].shape, spacing_mm[2])
    column[0].set_title(panel.title, fontsize=10)


def _label_sides(axes: Axes) -> None:
    """R and L of the patient in the upper corners."""
    look: dict[str, Any] = {"color": "white", "fontsize": 8, "va": "top", "transform": axes.transAxes}
    axes.text(0.03, 0.98, "R", ha="left", **look)
    axes.text(0.97, 0.98, "L", ha="right", **look)


def _scale_bar(axes: Axes, shape: tuple[int, ...], pixel_mm: float) -> None:
    """The longest round length of at most 40% of the width, in the lower corner of a slice (H, W)."""
    height, width = shape
    length_mm = max((mm for mm in (5, 10, 20, 50) if mm / pixel_mm <= 0.4 * width), default=5)
    right, low = 0.97 * width - 0.5, 0.97 * height - 0.5
    axes.plot([right - length_mm / pixel_mm, right], [low, low], color="white", linewidth=1.5, solid_capstyle="butt")
    axes.text(right, low - 0.01 * height, f"{length_mm / 10:g} cm", color="white", fontsize=7, ha="right", va="bottom")


def probability_bar(figure: Figure, axes: np.ndarray, label: str) -> None:
    """Colour bar of the probabilities beside the axes."""
    figure.colorbar(
        ScalarMappable(Normalize(0, 1), _PROBABILITY),
        ax=axes,
        label=label,
        fraction=0.05,
        pad=0.02,
        aspect=30,
        shrink=0.7,
    )


def outline_legend(figure: Figure, looks: Mapping[str, Look], more: Sequence[Any] = ()) -> None:
    """Legend below the figure: outlines by name, and more labelled artists."""
    lines = [Line2D([], [], color=look[0], linestyle=look[1], label=name) for name, look in looks.items()]
    handles = [*lines, *more]
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": min(len(handles), 4), "fontsize": 9}
    figure.legend(handles=handles, frameon=False, **place)
