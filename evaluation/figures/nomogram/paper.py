"""A nomogram on paper: read the points of each predictor, add them, and read the probability of the total."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from medzoo.evaluation.figures.style import COLOURS, new_figure
from medzoo.evaluation.nomogram.axes import Axis, Categorical, Continuous
from medzoo.evaluation.nomogram.pretty import written
from medzoo.evaluation.nomogram.scale import PROBABILITIES, Nomogram

__all__ = ["axis_title", "capitalised", "nomogram_figure"]

Ticks = Sequence[tuple[str, float]]  # labels, and places from 0 at the left to 1 at the right

_AXES, _ROW, _RIGHT = 5.2, 0.5, 0.3  # inches: width of the axes, height of a row, margin
_LETTER = 0.062 / _AXES  # width of a letter of a tick label, as a share of the axes
_CLOSEST = 0.006  # of two ticks
_EXAMPLE = COLOURS[0]
_FINER = tuple(sorted({k / 100 for k in (*range(1, 10), *range(10, 91, 5), *range(91, 100))}))
_FIRST = (0.5, 0.1, 0.9, 0.01, 0.99, *PROBABILITIES)  # their labels have precedence where labels are close


def nomogram_figure(
    nomogram: Nomogram,
    *,
    outcome: str = "probability",
    names: Mapping[str, str] | None = None,
    case: Mapping[str, Any] | None = None,
) -> Figure:
    """Points, a row for each predictor, total points, linear predictor and probability, from top to bottom.

    Labels that would touch are omitted, or put above the axis if they name levels or probabilities; their ticks stay.

    Args:
        nomogram: What to draw.
        outcome: Title of the probability axis, such as "risk of HLHS"; may have two lines.
        names: Titles of predictors; by default their names with spaces for underscores.
        case: Values of a case that is drawn as an example.

    Returns:
        The figure, about 19 cm wide, to be saved as PNG or SVG.
    """
    rows = len(nomogram.axes) + 4
    titles = [axis_title(axis, names or {}) for axis in nomogram.axes] + [capitalised(outcome), "Linear predictor"]
    left = 0.45 + 0.082 * max(len(line) for title in titles for line in title.split("\n"))
    width = left + _AXES + _RIGHT
    figure, axes = new_figure(width, _ROW * rows)
    figure.set_layout_engine("none")
    axes.set_position((left / width, 0.02, _AXES / width, 0.96))
    axes.set(xlim=(0, 1), ylim=(rows - 0.4, -0.6))
    axes.axis("off")
    _points_part(axes, nomogram, titles)
    axes.plot([-left / _AXES, 1], [len(nomogram.axes) + 0.5] * 2, color="0.6", linewidth=0.6, clip_on=False)
    _total_part(axes, nomogram, capitalised(outcome))
    if case is not None:
        _example(axes, nomogram, case)
    return figure


def _points_part(axes: Axes, nomogram: Nomogram, titles: Sequence[str]) -> None:
    """The ruler of points and the predictors under it."""
    count = len(nomogram.axes)
    axes.vlines([k / 10 for k in range(11)], 0, count + 0.25, color="0.9", linewidth=0.6, zorder=0)
    ruler = [(f"{10 * k}", k / 10) for k in range(11)]
    _scale(axes, 0, "Points", ruler, above=True, finer=[k / 50 for k in range(51)])
    for row, axis in enumerate(nomogram.axes, 1):
        ticks = [(label, points / 100) for label, points in nomogram.ticks(axis)]
        shown = ticks if isinstance(axis, Categorical) else _every_so_many(sorted(ticks, key=lambda tick: tick[1]))
        _scale(axes, row, titles[row - 1], shown, finer=[place for _, place in ticks])


def _total_part(axes: Axes, nomogram: Nomogram, outcome: str) -> None:
    """Total points, linear predictor and probability."""
    row, values = len(nomogram.axes) + 1, nomogram.total_ticks()
    end = values[-1]
    total = [(f"{value:g}", value / end) for value in values]
    axes.vlines([place for _, place in total], row, row + 2, color="0.9", linewidth=0.6, zorder=0)
    step = (values[1] - values[0]) / 5
    _scale(axes, row, "Total points", total, finer=[k * step / end for k in range(round(end / step) + 1)])
    texts = written([value for value, _ in nomogram.linear_ticks()])
    linear = [(_signed(text), p / end) for text, (_, p) in zip(texts, nomogram.linear_ticks(), strict=True)]
    _scale(axes, row + 1, "Linear predictor", _every_so_many(linear), finer=[place for _, place in linear])
    ticks = [(f"{value:g}", points / end) for value, points in nomogram.probability_ticks(dict.fromkeys(_FIRST))]
    finer = [points / end for _, points in nomogram.probability_ticks(_FINER)]
    below = _by_precedence(ticks)
    above = _by_precedence([tick for tick in ticks if tick not in below])
    _scale(axes, row + 2, outcome, [*below, *above], finer=finer)


def _scale(axes: Axes, row: int, title: str, ticks: Ticks, *, finer: Sequence[float], above: bool = False) -> None:
    """A line with short ticks at `finer` places and long, labelled ones."""
    style: dict[str, Any] = {"color": "black", "linewidth": 0.8}
    side = -1 if above else 1
    places = sorted([*finer, *(place for _, place in ticks)])
    if places:
        axes.plot([places[0], places[-1]], [row, row], solid_capstyle="projecting", **style)
    axes.vlines(_thinned(places), row, row + side * 0.07, **style)
    ends = {side: -0.02, -side: -0.02}
    for label, place in sorted(ticks, key=lambda tick: tick[1]):
        width = _LETTER * len(label)
        turned = side if place - width / 2 > ends[side] or ends[side] <= ends[-side] else -side
        centre = max(place, ends[turned] + width / 2)  # names of levels stay clear of the title and of each other
        axes.vlines(place, row, row + turned * 0.13, **style)
        align = "bottom" if turned < 0 else "top"
        patch = {"facecolor": "white", "linewidth": 0, "pad": 0.6}
        axes.text(centre, row + turned * 0.18, label, ha="center", va=align, fontsize=8, bbox=patch)
        ends[turned] = centre + width / 2 + _LETTER / 2
    axes.text(-0.04, row, title, ha="right", va="center", fontsize=9.5, clip_on=False)


def _example(axes: Axes, nomogram: Nomogram, case: Mapping[str, Any]) -> None:
    """A dot on each axis, its points beside the name, and the way from the total to the probability."""
    style: dict[str, Any] = {"color": _EXAMPLE, "fontsize": 8, "ha": "right", "va": "top", "clip_on": False}
    score, last = nomogram.score(case), len(nomogram.axes) + 1
    for row, (axis, points) in enumerate(zip(nomogram.axes, nomogram.points(case).values(), strict=True), 1):
        value = f"{case[axis.name]:.4g}" if isinstance(axis, Continuous) else str(case[axis.name])
        axes.plot(points / 100, row, "o", color=_EXAMPLE, markersize=5, clip_on=False, zorder=3)
        axes.text(-0.04, row + 0.17, f"{value}: {points:.1f} points", **style)
    place = score.points / nomogram.total_ticks()[-1]
    axes.plot([place] * 3, [last, last + 1, last + 2], "o", color=_EXAMPLE, markersize=5, clip_on=False, zorder=3)
    axes.plot([place] * 2, [last, last + 2], color=_EXAMPLE, linewidth=1, clip_on=False, zorder=0)
    texts = (f"{score.points:.1f} points", _signed(f"{score.linear_predictor:.2f}"), f"{score.probability:.3f}")
    for row, text in enumerate(texts, last):
        axes.text(-0.04, row + 0.17, text, **style)


def axis_title(axis: Axis, names: Mapping[str, str]) -> str:
    """Title of a predictor, with its unit."""
    name = names.get(axis.name, capitalised(axis.name.replace("_", " ")))
    return f"{name} [{axis.unit}]" if isinstance(axis, Continuous) and axis.unit else name


def _every_so_many(ticks: Ticks) -> Ticks:
    """Every n-th tick, with the smallest n whose labels do not touch, or a slightly larger one that keeps the last."""
    steps = range(1, len(ticks) + 1)
    step = next(step for step in steps if all(_apart(*pair) for pair in pairwise(ticks[::step])))
    return ticks[:: next((more for more in range(step, 2 * step + 1) if (len(ticks) - 1) % more == 0), step)]


def _by_precedence(ticks: Ticks) -> Ticks:
    """Ticks whose labels do not touch that of an earlier one."""
    kept: list[tuple[str, float]] = []
    for tick in ticks:
        if all(_apart(tick, other) for other in kept):
            kept.append(tick)
    return kept


def _thinned(places: Sequence[float]) -> list[float]:
    kept: list[float] = []
    for place in places:
        if not kept or place - kept[-1] >= _CLOSEST:
            kept.append(place)
    return kept


def _apart(one: tuple[str, float], other: tuple[str, float]) -> bool:
    return abs(one[1] - other[1]) >= _LETTER * ((len(one[0]) + len(other[0])) / 2 + 1)


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def capitalised(name: str) -> str:
    """The name with a capital first letter."""
    return name[:1].upper() + name[1:]
