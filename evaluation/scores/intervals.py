"""Intervals of bootstrap draws, and how tables write an interval."""

from collections.abc import Mapping

import numpy as np

__all__ = ["interval_text", "percentile_interval"]


def percentile_interval(draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap draws (R,); NaN draws are left out, and bounds are NaN where all are."""
    if not np.isfinite(draws).any():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(draws, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def interval_text(values: Mapping[str, float], name: str) -> str:
    """`value (low to high)` of a number with its bounds under `<name>_low` and `<name>_high`."""
    return f"{values[name]:.3f} ({values[f'{name}_low']:.3f} to {values[f'{name}_high']:.3f})"
