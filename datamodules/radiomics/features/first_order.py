"""Statistics of the intensities in a mask: 18 first-order features (pyradiomics; IBSI manual, 3.3 and 3.4)."""

import numpy as np
from scipy.special import entr

from medzoo.datamodules.radiomics.regions import Regions, row_wise
from medzoo.datamodules.radiomics.settings import RadiomicsSettings

__all__ = ["FIRST_ORDER", "first_order"]

FIRST_ORDER = (
    "Energy",
    "TotalEnergy",
    "Entropy",
    "Minimum",
    "10Percentile",
    "90Percentile",
    "Maximum",
    "Mean",
    "Median",
    "InterquartileRange",
    "Range",
    "MeanAbsoluteDeviation",
    "RobustMeanAbsoluteDeviation",
    "RootMeanSquared",
    "Skewness",
    "Kurtosis",
    "Variance",
    "Uniformity",
)


def first_order(regions: Regions, levels: np.ndarray, settings: RadiomicsSettings) -> np.ndarray:
    """Features of each image.

    Args:
        regions: Masked voxels of N images.
        levels: (V,) grey levels from 1 on, for Entropy (bits) and Uniformity.
        settings: `voxel_shift` and `definition` are used.

    Returns:
        (N, 18) in the order of `FIRST_ORDER`; Skewness and Kurtosis of a constant image are NaN.
    """
    rows = np.sort(row_wise(regions, regions.values, np.inf), axis=1)
    inside = np.isfinite(rows)
    n = regions.counts
    ends = [_percentile(rows, n, share) for share in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)]
    minimum, p10, p25, median, p75, p90, maximum = ends
    rows = np.where(inside, rows, 0.0)
    mean = rows.sum(1) / n
    deviation = np.where(inside, rows - mean[:, None], 0.0)
    square = deviation**2
    variance = square.sum(1) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        # a spread due to rounding errors counts as none
        spread = np.where(minimum == maximum, np.nan, variance)
        skewness = (square * deviation).sum(1) / n / spread**1.5
        kurtosis = (square**2).sum(1) / n / spread**2 - (3.0 if settings.definition == "ibsi" else 0.0)
    energy = np.where(inside, (rows + settings.voxel_shift) ** 2, 0.0).sum(1)
    share = _histogram(regions, levels)
    features = {
        "Energy": energy,
        "TotalEnergy": energy * np.prod(regions.spacing),
        "Entropy": entr(share).sum(1) / np.log(2),
        "Minimum": minimum,
        "10Percentile": p10,
        "90Percentile": p90,
        "Maximum": maximum,
        "Mean": mean,
        "Median": median,
        "InterquartileRange": p75 - p25,
        "Range": maximum - minimum,
        "MeanAbsoluteDeviation": np.abs(deviation).sum(1) / n,
        "RobustMeanAbsoluteDeviation": _robust_deviation(rows, inside, p10, p90),
        "RootMeanSquared": np.sqrt(energy / n),
        "Skewness": skewness,
        "Kurtosis": kurtosis,
        "Variance": variance,
        "Uniformity": (share**2).sum(1),
    }
    return np.stack([features[name] for name in FIRST_ORDER], axis=1)


def _percentile(rows: np.ndarray, counts: np.ndarray, share: float) -> np.ndarray:
    """Percentile of sorted rows, interpolated linearly between neighbouring ranks.

    It is rounded as in NumPy, because RobustMeanAbsoluteDeviation compares intensities with it for equality.
    """
    rank = share * (counts - 1)
    below = np.floor(rank).astype(int)
    lower = np.take_along_axis(rows, below[:, None], 1)[:, 0]
    upper = np.take_along_axis(rows, np.minimum(below + 1, counts - 1)[:, None], 1)[:, 0]
    part, step = rank - below, upper - lower
    return np.where(part < 0.5, lower + step * part, upper - step * (1 - part))


def _robust_deviation(rows: np.ndarray, inside: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Mean absolute deviation of the values between the two percentiles from their mean."""
    kept = inside & (rows >= low[:, None]) & (rows <= high[:, None])
    count = np.maximum(kept.sum(1), 1)
    mean = np.where(kept, rows, 0.0).sum(1) / count
    deviation = np.where(kept, np.abs(rows - mean[:, None]), 0.0).sum(1) / count
    return np.where(kept.any(1), deviation, np.nan)


def _histogram(regions: Regions, levels: np.ndarray) -> np.ndarray:
    """(N, levels) share of each grey level."""
    depth = int(levels.max())
    keys = regions.image * depth + levels - 1
    counts = np.bincount(keys, minlength=len(regions.counts) * depth)
    return counts.reshape(-1, depth) / regions.counts[:, None]
