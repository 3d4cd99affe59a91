"""Whether synthetic images resemble real ones, and whether they are copies of them."""

from typing import Any

import numpy as np
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from scipy.special import rel_entr
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medzoo.evaluation.scores.classification import auc

__all__ = ["copies", "frechet_distance", "inception_score", "kernel_distance", "radial_spectrum", "shortcut_auc"]


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Frechet distance of Gaussians fitted to features (N, F) and (M, F); FID where they are Inception's.

    Heusel et al. 2017 (arXiv:1706.08500). It falls as the number of images grows: compare only equal numbers.
    """
    difference = a.mean(0) - b.mean(0)
    one, other = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    root = sqrtm(one @ other)
    return float(difference @ difference + np.trace(one + other - 2 * np.real(root)))


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy with a cubic kernel; KID where features are Inception's.

    Binkowski et al. 2018 (arXiv:1801.01401). About 0 for equal distributions, sometimes below.
    """
    n, m, size = len(a), len(b), a.shape[1]
    within, other, between = ((x @ y.T / size + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    same = (within.sum() - np.trace(within)) / (n * (n - 1)) + (other.sum() - np.trace(other)) / (m * (m - 1))
    return float(same - 2 * between.mean())


def inception_score(prob: np.ndarray) -> float:
    """Exponential of the mean divergence of the classes of an image from those of all images.

    Salimans et al. 2016 (arXiv:1606.03498), without splits. It rises where each image is of one class for sure and all
    classes are equally frequent; from images of one class alone, even perfect ones, it is near 1.

    Args:
        prob: (N, K) class probabilities that a classifier, in the paper Inception, gives the images.

    Returns:
        1 to K.
    """
    share = prob.mean(0, keepdims=True)
    return float(np.exp(rel_entr(prob, share).sum(1).mean()))


def copies(made: np.ndarray, real: np.ndarray, patients: np.ndarray, neighbours: int = 50) -> dict[str, np.ndarray]:
    """Nearest training image of each synthetic image, and whether it is suspiciously near.

    Carlini et al. 2023 (arXiv:2301.13188): a copy is nearer to one training image than half of its mean distance to the
    50 nearest; here these are images of other patients, since images of one patient are similar.

    Args:
        made: (N, ...) images.
        real: (M, ...) training images.
        patients: (M,) the patient of each; at least two patients.
        neighbours: How many images of other patients are compared.

    Returns:
        `nearest` (N,) indices, `distance` (N,) root mean square difference, `ratio` (N,) to the mean of the neighbours,
        and `copied` (N,) bool, where it is below a half.
    """
    flat, known = (np.asarray(x, float).reshape(len(x), -1) for x in (made, real))
    distances = cdist(flat, known) / np.sqrt(flat.shape[1])
    nearest = distances.argmin(1)
    distance = distances[np.arange(len(flat)), nearest]
    patients = np.asarray(patients)
    others = np.sort(np.where(patients[nearest][:, None] == patients[None], np.inf, distances), axis=1)[:, :neighbours]
    usual = np.where(np.isfinite(others), others, 0).sum(1) / np.isfinite(others).sum(1)
    ratio = distance / usual
    return {"nearest": nearest, "distance": distance, "ratio": ratio, "copied": ratio < 0.5}


def radial_spectrum(images: np.ndarray) -> np.ndarray:
    """Logarithm of the mean power of images (N, H, W) in rings of equal frequency: (N, min(H, W) // 2)."""
    height, width = images.shape[1:]
    centred = np.asarray(images, float) - np.mean(images, axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(centred)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    rings = np.minimum((frequency * 2 * (min(height, width) // 2)).astype(int), min(height, width) // 2 - 1)
    mean = np.stack([power[:, rings == ring].mean(1) for ring in range(rings.max() + 1)], 1)
    return np.log(mean + 1e-12 * mean.max())


def shortcut_auc(
    made: np.ndarray,
    real: np.ndarray,
    patients: np.ndarray,
    *,
    made_patients: np.ndarray | None = None,
    forest: bool = False,
) -> float:
    """Area with which a rule tells made images from real ones by their detail alone.

    A classifier could take such a difference for the class of the made images (shortcut learning: Geirhos et al. 2020,
    arXiv:2004.07780). The linear rule is a logistic regression on the radial power spectrum. The forest also sees how
    strong edges and how frequent grey values are, so that a filter which gives made images the spectrum of real ones
    does not deceive it. The rule is fitted to four of five folds; no patient is in two of them.

    Args:
        made: (N, H, W) images.
        real: (M, H, W) images.
        patients: (M,) the patient of each; at least two patients.
        made_patients: (N,) the patient of each, where they are of patients.
        forest: The forest rather than the linear rule.

    Returns:
        0.5 if they cannot be told apart, 1 if they always can.
    """
    images = np.concatenate([made, real])
    label = np.repeat([1, 0], [len(made), len(real)])
    own = np.arange(len(made)) if made_patients is None else np.unique(made_patients, return_inverse=True)[1]
    _, number = np.unique(patients, return_inverse=True)
    groups = np.concatenate([own + number.max() + 1, number])  # a made image is nobody else's
    folds = GroupKFold(min(5, number.max() + 1))
    features = radial_spectrum(images)
    model: Any = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
    if forest:
        features = np.concatenate([features, _texture(images)], axis=1)
        model = RandomForestClassifier(100, min_samples_leaf=3, class_weight="balanced", random_state=0)
    score = cross_val_predict(model, features, label, groups=groups, cv=folds, method="predict_proba")[:, 1]
    return float(auc(label, score)[0])


def _texture(images: np.ndarray) -> np.ndarray:
    """Quantiles of differences along both axes, of the Laplacian and of grey values, of images (N, H, W): (N, F)."""
    across, down = np.diff(images, axis=2), np.diff(images, axis=1)
    curved = np.diff(images, 2, axis=2)[:, 1:-1] + np.diff(images, 2, axis=1)[:, :, 1:-1]
    shares = (0.05, 0.25, 0.5, 0.75, 0.95)
    flat = [np.abs(each).reshape(len(images), -1) for each in (across, down, curved)]
    return np.concatenate([np.quantile(each, shares, axis=1).T for each in (*flat, images.reshape(len(images), -1))], 1)
