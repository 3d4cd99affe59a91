"""How well parts of a representation predict a label: linear probes, their areas, and paired tests."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from medzoo.evaluation.scores.classification import auc, bootstrap_auc, one_vs_rest
from medzoo.evaluation.scores.diagnostic import delong, delong_test, rates
from medzoo.evaluation.scores.intervals import percentile_interval

__all__ = [
    "COMPONENTS",
    "auc_of",
    "compare_representations",
    "drawn",
    "fit_pixel_probes",
    "fit_probe",
    "principal_axes",
]

COMPONENTS = 32  # principal components, as many as the codes of the paper have
MOST_PIXELS = 20_000
"""Training images of the regression on raw pixels: of PathMNIST's 90,000 it would take half an hour."""

log = logging.getLogger(__name__)


def drawn(label: np.ndarray, most: int, what: str, seed: int = 0) -> np.ndarray:
    """Indices of at most so many cases, as many of each class as its share; where some are left out, the log says so.

    Args:
        label: (N,) class indices.
        most: At most so many.
        what: Is fitted to them, for the log.
        seed: Of the draw.
    """
    places = np.arange(len(label))
    if len(label) <= most:
        return places
    log.warning("%s: fitted to %d of the %d training cases, drawn by class", what, most, len(label))
    return np.sort(train_test_split(places, train_size=most, stratify=label, random_state=seed)[0])


def fit_probe(
    features: np.ndarray, label: np.ndarray, num_classes: int, *, inverse_penalty: float = 1.0, solver: str = "lbfgs"
) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression with an L2 penalty (scikit-learn), as Vétil et al. 2023 (arXiv:2308.11389) measure features.

    Args:
        features: (N, F).
        label: (N,) class indices.
        num_classes: K; a class without examples gets probability 0.
        inverse_penalty: scikit-learn's C.
        solver: scikit-learn's, which all find the same weights.

    Returns:
        Weight (K, F) and bias (K,) of logits whose softmax gives the probabilities.
    """
    weight, bias = np.zeros((num_classes, features.shape[1])), np.full(num_classes, -1e4)
    classes = np.unique(label)
    if len(classes) < 2 or not features.shape[1]:
        bias[classes] = np.log(np.bincount(label, minlength=num_classes)[classes] / len(label))
        return weight, bias
    fitted = LogisticRegression(C=inverse_penalty, solver=solver, max_iter=2000).fit(features, label)
    if len(classes) == 2:  # scikit-learn returns the logit of the second against the first
        weight[classes[1]], bias[classes] = fitted.coef_[0], [0.0, fitted.intercept_[0]]
    else:
        weight[classes], bias[classes] = fitted.coef_, fitted.intercept_
    return weight, bias


def principal_axes(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (P,) and axes (`COMPONENTS`, P) of pixels (N, P), whose products have unit variance in these images.

    Where there are fewer images or pixels than components, the last axes are 0.
    """
    pca = PCA(min(COMPONENTS, *pixels.shape), random_state=0).fit(pixels)
    axes = np.zeros((COMPONENTS, pixels.shape[1]))
    axes[: len(pca.components_)] = pca.components_ / np.sqrt(np.maximum(pca.explained_variance_, 1e-12))[:, None]
    return pca.mean_, axes


def fit_pixel_probes(
    pixels: np.ndarray,
    features: np.ndarray,
    label: np.ndarray,
    num_classes: int,
    components: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Regressions without a learnt code: on pixels, on their principal components, on these beside other features.

    Components have unit variance. Of many images only `MOST_PIXELS` are used for the first; the log says so.

    Args:
        pixels: (N, P).
        features: (N, F), such as radiomics.
        label: (N,) class indices.
        num_classes: K.
        components: Of `principal_axes`, if they are known already.

    Returns:
        Weights (3, K, P + F) and biases (3, K) for pixels followed by features.
    """
    centre, axes = components or principal_axes(pixels)
    codes, count = (pixels - centre) @ axes.T, pixels.shape[1]
    weights, biases = np.zeros((3, num_classes, count + features.shape[1])), np.zeros((3, num_classes))
    chosen = drawn(label, MOST_PIXELS, "regression on pixels")
    few = len(chosen) < count  # then the best weights lie in the span of the images, which has fewer dimensions
    span = np.linalg.svd(pixels, full_matrices=False)[2] if few else None
    rows = pixels[chosen] if span is None else pixels @ span.T
    solver = "newton-cholesky" if num_classes == 2 and rows.shape[1] < 2000 else "lbfgs"  # takes the Hessian, converges
    weight, biases[0] = fit_probe(rows, label[chosen], num_classes, solver=solver)
    weights[0, :, :count] = weight if span is None else weight @ span
    for index, rows in ((1, codes), (2, np.concatenate([codes, features], 1))):
        weight, bias = fit_probe(rows, label, num_classes)
        of_codes, of_features = weight[:, : len(axes)], weight[:, len(axes) :]
        weights[index, :, :count] = of_codes @ axes
        weights[index, :, count : count + of_features.shape[1]] = of_features
        biases[index] = bias - weights[index, :, :count] @ centre
    return weights, biases


def auc_of(label: np.ndarray, prob: np.ndarray) -> float:
    """Area under the ROC curve of probabilities (N, K): of the last of two classes, else the mean over classes."""
    if prob.shape[1] == 2:
        return float(auc(label == 1, prob[:, 1])[0])
    truth = one_vs_rest(label, prob.shape[1])
    return float(np.nanmean([auc(truth[:, k], prob[:, k])[0] for k in range(prob.shape[1])]))


def compare_representations(
    label: np.ndarray, probs: Mapping[str, np.ndarray], reference: str, *, resamples: int = 1000
) -> list[dict[str, Any]]:
    """Areas and accuracies of several predictions of the same cases, tested against one of them.

    With two classes, intervals and tests are DeLong's; with more, they come from a paired bootstrap of the mean
    area over classes, and p is that of a normal distribution with the bootstrap's spread.

    Args:
        label: (N,) class indices.
        probs: (N, K) probabilities by name.
        reference: Name of the prediction that the others are tested against.
        resamples: Bootstrap draws, with more than two classes.

    Returns:
        A row for each name with `auc`, `auc_low`, `auc_high`, `acc`, `acc_low`, `acc_high` (Wilson), `difference`
        of the areas, `difference_low`, `difference_high` and `p`.
    """
    against = _areas(label, probs[reference], resamples)
    rows = []
    for name, prob in probs.items():
        right = rates(np.ones(len(label), bool), prob.argmax(1) == label)
        row: dict[str, Any] = {"name": name, **_area(label, prob, resamples)}
        row |= {f"acc{end}": right[f"accuracy{end}"] for end in ("", "_low", "_high")}
        rows.append({**row, **_difference(label, prob, probs[reference], resamples, against)})
    return rows


def _area(label: np.ndarray, prob: np.ndarray, resamples: int) -> dict[str, float]:
    if prob.shape[1] == 2:
        found = delong(label == 1, prob[:, 1])
        return {name: found[name] for name in ("auc", "auc_low", "auc_high")}
    low, high = percentile_interval(_areas(label, prob, resamples))
    return {"auc": auc_of(label, prob), "auc_low": low, "auc_high": high}


def _difference(
    label: np.ndarray, prob: np.ndarray, other: np.ndarray, resamples: int, against: np.ndarray
) -> dict[str, float]:
    if prob.shape[1] == 2:
        found = delong_test(label == 1, prob[:, 1], other[:, 1])
        return {name: found[name] for name in ("difference", "difference_low", "difference_high", "p")}
    draws = _areas(label, prob, resamples) - against
    low, high = percentile_interval(draws)
    difference, spread = auc_of(label, prob) - auc_of(label, other), float(np.nanstd(draws))
    p = float(2 * stats.norm.sf(abs(difference) / spread)) if spread > 0 else 1.0
    return {"difference": difference, "difference_low": low, "difference_high": high, "p": p}


def _areas(label: np.ndarray, prob: np.ndarray, resamples: int) -> np.ndarray:
    """(resamples,) mean areas of cases drawn with replacement, the same cases for every prediction."""
    if prob.shape[1] == 2:
        return np.zeros(0)
    truth = one_vs_rest(label, prob.shape[1])
    return np.mean([bootstrap_auc(truth[:, k], prob[:, k], resamples=resamples) for k in range(prob.shape[1])], axis=0)
