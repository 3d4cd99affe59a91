"""How much two sets of features of the same images share.

Everywhere `first` is (N, F) and `second` (N, D).
"""

import numpy as np
from sklearn.feature_selection import mutual_info_regression

__all__ = [
    "active_units",
    "hsic",
    "linear_cka",
    "mean_correlation",
    "mean_information",
    "redundancy",
]

ACTIVE = 0.01
"""Least variance of a latent's mean over images that counts as used (Burda et al. 2016, arXiv:1509.00519)."""


def redundancy(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """All measures; those of single features are over the active features of the second set.

    Returns:
        `cka`, `hsic`, `correlation`, `information` (nats), 0 where no feature is active, and `active`, their
        number.
    """
    used = second[:, active_units(second)]
    found = {"cka": linear_cka(first, second), "hsic": hsic(first, second)}
    found |= {"correlation": mean_correlation(first, used), "information": mean_information(first, used)}
    return {**found, "active": float(used.shape[1])}


def active_units(latent: np.ndarray) -> np.ndarray:
    """(D,) bool: which latents vary over images, by the variance of their means."""
    return latent.var(0) > ACTIVE


def linear_cka(first: np.ndarray, second: np.ndarray) -> float:
    """Linear centred kernel alignment, 0 to 1 (Kornblith et al. 2019, arXiv:1905.00414); 0 for constants."""
    first, second = first - first.mean(0), second - second.mean(0)
    scale = np.linalg.norm(first.T @ first) * np.linalg.norm(second.T @ second)
    return float(np.linalg.norm(first.T @ second) ** 2 / scale) if scale > 0 else 0.0


def hsic(first: np.ndarray, second: np.ndarray) -> float:
    """Hilbert-Schmidt independence criterion with Gaussian kernels as wide as the median distance.

    The estimator of Gretton et al. 2005 (doi:10.1007/11564089_7): trace(K H L H) / (N - 1)², at least 0.
    """
    kernels = [_kernel(features) for features in (first, second)]
    centred = kernels[0] - kernels[0].mean(0) - kernels[0].mean(1)[:, None] + kernels[0].mean()
    return float((centred * kernels[1]).sum() / (len(first) - 1) ** 2)


def mean_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute Pearson correlation over all pairs of features; constant features are left out."""
    parts = [features[:, features.std(0) > 0] for features in (first, second)]
    if not all(part.shape[1] for part in parts):
        return 0.0
    scaled = [(part - part.mean(0)) / part.std(0) for part in parts]
    return float(np.abs(scaled[0].T @ scaled[1] / len(first)).mean())


def mean_information(first: np.ndarray, second: np.ndarray, *, neighbours: int = 3, seed: int = 0) -> float:
    """Mean mutual information of a feature of one set and a feature of the other, in nats.

    By nearest neighbours (Kraskov et al. 2004, doi:10.1103/PhysRevE.69.066138), as scikit-learn has it.
    """
    if not first.shape[1] or not second.shape[1]:
        return 0.0
    neighbours = min(neighbours, len(first) - 1)
    rows = [mutual_info_regression(first, column, n_neighbors=neighbours, random_state=seed) for column in second.T]
    return float(np.mean(rows))


def _kernel(features: np.ndarray) -> np.ndarray:
    """(N, N) Gaussian kernel whose width is the median distance of two images."""
    norms = (features**2).sum(1)
    squared = np.maximum(norms[:, None] + norms - 2 * features @ features.T, 0)
    median = np.median(squared[np.triu_indices(len(features), 1)]) if len(features) > 1 else 0.0
    return np.exp(-squared / (2 * median)) if median > 0 else np.ones_like(squared)
