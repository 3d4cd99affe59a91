"""The style of all figures: plain axes, colours for any colour vision (Okabe and Ito 2008)."""

from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.figure import Figure

__all__ = ["COLOURS", "new_figure", "picture_of", "shortened"]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#000000")

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    "legend.frameon": False,
    "figure.dpi": 120,
    "savefig.bbox": "tight",
}


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure without pyplot state, and its axes.

    Args:
        width: In inches.
        height: In inches.
        rows: Rows of axes.
        columns: Columns of axes.
        **options: Handed to `Figure.subplots`.

    Returns:
        The figure, and one axes or an array of them as `Figure.subplots` gives.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, **options)


def picture_of(image: np.ndarray, plane: int | None = None) -> np.ndarray:
    """An image as `imshow` draws it.

    Args:
        image: (C, *spatial) of any range.
        plane: Index along the first axis of a volume; the middle if none.

    Returns:
        (H, W), or (H, W, 3) of three channels, in [0, 1].
    """
    if image.ndim == 4:
        image = image[:, image.shape[1] // 2 if plane is None else plane]
    low, high = image.min(), image.max()
    image = (image - low) / max(high - low, 1e-12)
    return image[0] if len(image) != 3 else np.moveaxis(image, 0, -1)


def shortened(name: str, width: int = 18) -> str:
    """A name of at most `width` characters."""
    return name if len(name) <= width else name[: width - 1] + "…"
