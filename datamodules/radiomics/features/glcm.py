"""Grey-level co-occurrence: 24 features (Haralick et al. 1973; pyradiomics; IBSI manual, 3.6, "3D averaged").

Matrices are symmetric, with distance 1, one for each direction; features are averaged over directions with any pair.
"""

import warnings

import numpy as np
from scipy.special import entr

from medzoo.datamodules.radiomics.neighbours import Neighbours, directions

__all__ = ["GLCM", "glcm"]

GLCM = (
    "Autocorrelation",
    "JointAverage",
    "ClusterProminence",
    "ClusterShade",
    "ClusterTendency",
    "Contrast",
    "Correlation",
    "DifferenceAverage",
    "DifferenceEntropy",
    "DifferenceVariance",
    "JointEnergy",
    "JointEntropy",
    "Imc1",
    "Imc2",
    "Idm",
    "Idmn",
    "Id",
    "Idn",
    "InverseVariance",
    "MaximumProbability",
    "SumAverage",
    "SumEntropy",
    "SumSquares",
    "MCC",
)


def glcm(neighbours: Neighbours, deepest: np.ndarray) -> np.ndarray:
    """Features of each image.

    Args:
        neighbours: Of the voxels of N images.
        deepest: (N,) largest grey level of each.

    Returns:
        (N, 24) in the order of `GLCM`; NaN where no two voxels touch; Correlation, Imc1 and MCC with one level.
    """
    pairs = matrices(neighbours)
    count, angles, depth, _ = pairs.shape
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (pairs / pairs.sum((2, 3), keepdims=True)).reshape(-1, depth, depth)
        features = _features(shares, np.repeat(deepest, angles))
        columns = np.stack([features[name] for name in GLCM], axis=1).reshape(count, angles, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean over no direction, for an image without pairs
        result = np.nanmean(columns, axis=1)
    levels = (pairs.sum((1, 3)) > 0).sum(1)
    result[np.ix_(levels < 2, [GLCM.index(name) for name in ("Correlation", "Imc1", "MCC")])] = np.nan
    return result


def matrices(neighbours: Neighbours) -> np.ndarray:
    """(N, directions, levels, levels) counts of pairs of levels, each pair in both orders."""
    regions, depth = neighbours.regions, int(neighbours.levels.max())
    count, steps = len(regions.counts), directions(regions.dims)
    found = []
    for step in steps:
        other = neighbours.beside(step)
        pair = other > 0
        keys = (regions.image[pair] * depth + neighbours.levels[pair] - 1) * depth + other[pair] - 1
        found.append(np.bincount(keys, minlength=count * depth * depth).reshape(count, depth, depth))
    pairs = np.stack(found, axis=1)
    return pairs + pairs.swapaxes(2, 3)


def _features(p: np.ndarray, deepest: np.ndarray) -> dict[str, np.ndarray]:
    """Features (R,) of matrices (R, G, G) that are symmetric and sum to 1, or are NaN."""
    flat, depth = p.reshape(len(p), -1), p.shape[1]
    level = np.arange(1, depth + 1.0)
    row, column = (grid.ravel() for grid in np.meshgrid(level, level, indexing="ij"))
    px = p.sum(2)
    mean = px @ level
    variance = (px * (level - mean[:, None]) ** 2).sum(1)
    sums, differences = np.arange(2, 2 * depth + 1.0), np.arange(0.0, depth)
    plus = flat @ ((row + column)[:, None] == sums)
    minus = flat @ (np.abs(row - column)[:, None] == differences)
    centred = sums - 2 * mean[:, None]
    apart = minus @ differences
    autocorrelation = flat @ (row * column)
    hx, hxy = _entropy(px), _entropy(flat)
    # a symmetric matrix has one margin, so both cross entropies of the manual are twice its entropy
    imc1 = np.where(hx > 0, (hxy - 2 * hx) / hx, 0.0)
    share = differences / deepest[:, None]
    return {
        "Autocorrelation": autocorrelation,
        "JointAverage": mean,
        "ClusterProminence": (plus * centred**4).sum(1),
        "ClusterShade": (plus * centred**3).sum(1),
        "ClusterTendency": (plus * centred**2).sum(1),
        "Contrast": minus @ differences**2,
        "Correlation": np.where(variance > 0, (autocorrelation - mean**2) / variance, 1.0 + 0 * variance),
        "DifferenceAverage": apart,
        "DifferenceEntropy": _entropy(minus),
        "DifferenceVariance": (minus * (differences - apart[:, None]) ** 2).sum(1),
        "JointEnergy": (flat**2).sum(1),
        "JointEntropy": hxy,
        "Imc1": imc1 + 0 * hx,
        "Imc2": np.sqrt(np.maximum(-np.expm1(-2 * (2 * hx - hxy)), 0.0)),
        "Idm": minus @ (1 / (1 + differences**2)),
        "Idmn": (minus / (1 + share**2)).sum(1),
        "Id": minus @ (1 / (1 + differences)),
        "Idn": (minus / (1 + share)).sum(1),
        "InverseVariance": minus[:, 1:] @ differences[1:] ** -2.0,
        "MaximumProbability": flat.max(1),
        "SumAverage": plus @ sums,
        "SumEntropy": _entropy(plus),
        "SumSquares": variance,
        "MCC": _maximal_correlation(p, px),
    }


def _entropy(p: np.ndarray) -> np.ndarray:
    """Entropy in bits over the last axis."""
    return entr(p).sum(-1) / np.log(2)


def _maximal_correlation(p: np.ndarray, px: np.ndarray) -> np.ndarray:
    """(R,) root of the second largest eigenvalue of sum_k p(i, k) p(j, k) / (px(i) py(k)).

    That matrix is similar to the square of p / sqrt(px px'), which is symmetric: two absolute eigenvalues suffice.
    """
    if p.shape[1] < 2:
        return px[:, 0]  # 1, or NaN without a pair
    root = np.sqrt(px)
    product = root[:, :, None] * root[:, None]
    similar = np.divide(p, product, out=np.zeros_like(p), where=product > 0)
    values = np.sort(np.abs(np.linalg.eigvalsh(similar)), axis=1)[:, -2]
    return values + 0 * px[:, 0]
