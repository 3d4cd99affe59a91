"""Round values for an axis, as R's `pretty` chooses them."""

import math
import sys
from collections.abc import Sequence

__all__ = ["pretty", "written"]

_BIAS, _BIAS_OF_FIVE = 1.5, 2.75  # how much a larger unit is preferred: R's high.u.bias, and 0.5 + 1.5 of it
_SHRINK = 0.75  # of the unit where low and high are all but equal
_SLACK = 1e-10  # of a unit: a bound this near to a round value counts as it


def pretty(low: float, high: float, intervals: int = 10) -> list[float]:
    """About `intervals` + 1 equally spaced multiples of 1, 2 or 5 times a power of ten that cover a range.

    The rule is that of R's `pretty(c(low, high), n = intervals)` with its default settings, so that axes have the
    ticks of a nomogram drawn in R; matplotlib's own locators choose others.

    Args:
        low: Finite.
        high: Finite, not below `low`.
        intervals: About how many intervals, from 1 up.

    Returns:
        Increasing values, the first not above `low` and the last not below `high`.

    Raises:
        ValueError: If the bounds are not finite or in the wrong order.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"no axis runs from {low} to {high}: both ends must be finite, the first not above the second")
    fewest = intervals // 3
    unit, digits = _unit(low, high, intervals, fewest)
    first, last = math.floor(low / unit + _SLACK), math.ceil(high / unit - _SLACK)
    first -= first * unit > low + _SLACK * unit
    last += last * unit < high - _SLACK * unit
    first, last = _widened(first, last, fewest - (last - first), low, high)
    return [round(k * unit, digits) for k in range(first, last + 1)]


def written(values: Sequence[float]) -> list[str]:
    """Values as text, all with as many decimal places as the longest of them needs."""
    plain = [f"{value:.10g}" for value in values]
    if any("e" in text for text in plain):
        return plain
    places = max((len(text.partition(".")[2]) for text in plain), default=0)
    return [f"{value:.{places}f}" for value in values]


def _unit(low: float, high: float, intervals: int, fewest: int) -> tuple[float, int]:
    """Distance of ticks, and the decimal places that write it."""
    size = max(abs(low), abs(high))
    noise = (1 + 1 / (1 + _BIAS)) * intervals * sys.float_info.epsilon
    if size == 0 or high - low < 3 * size * noise:
        target = (size if size <= 10 else 9 + size / 10) * _SHRINK if size else _SHRINK
        target /= max(fewest, 1)
    else:
        target = (high - low) / intervals
    exponent = math.floor(math.log10(target))
    base = unit = 10.0**exponent
    for factor, bias in ((2, _BIAS), (5, _BIAS_OF_FIVE), (10, _BIAS)):
        if factor * base - target >= bias * (target - unit):
            break
        unit = factor * base
    return unit, max(0, -exponent)


def _widened(first: int, last: int, lacking: int, low: float, high: float) -> tuple[int, int]:
    """Steps added at both ends where there are too few; none beyond a 0 at which the range ends."""
    if lacking <= 0:
        return first, last
    if low == 0 and first == 0 and high != 0:
        return first, last + lacking
    if high == 0 and last == 0 and low != 0:
        return first - lacking, last
    less, more = lacking // 2, lacking - lacking // 2
    return (first - more, last + less) if first >= 0 else (first - less, last + more)
