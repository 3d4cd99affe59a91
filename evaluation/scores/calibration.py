"""Recalibration of a classifier's probabilities by logistic regression on its own scores.

For two classes this is Platt scaling (Platt 1999); for more, one common slope and a bias for each class on the log
probabilities (between temperature and vector scaling, Guo et al. 2017, arXiv:1706.04599).
"""

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_expit, log_softmax, logit

__all__ = ["fit_calibration", "fit_share"]

PRIOR = 0.01  # weight of log(slope)^2 + |bias|^2, against runaway values where classes are separated


def fit_calibration(prob: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Slope a and biases b that make softmax(a log p + b), or sigmoid(a logit p + b), fit the labels best.

    Args:
        prob: (N, K) probabilities of cases that the model was not trained on.
        labels: (N,) class indices, or (N, K) zeros and ones where labels are independent.

    Returns:
        The slope, and the biases (K,).
    """
    prob = np.clip(prob.astype(float), 1e-6, 1 - 1e-6)
    independent = labels.ndim == 2
    scores = logit(prob) if independent else np.log(prob)

    def penalised_loss(theta: np.ndarray) -> float:
        shifted = np.exp(theta[0]) * scores + theta[1:]
        if independent:
            loss = -np.where(labels == 1, log_expit(shifted), log_expit(-shifted)).sum(1).mean()
        else:
            loss = -log_softmax(shifted, axis=1)[np.arange(len(labels)), labels.astype(int)].mean()
        return float(loss + PRIOR * (theta**2).sum() / max(len(labels), 1))

    theta = minimize(penalised_loss, np.zeros(1 + prob.shape[1]), method="L-BFGS-B").x
    return float(np.exp(theta[0])), theta[1:]


def fit_share(logits: np.ndarray, start: np.ndarray, labels: np.ndarray) -> float:
    """The share s in [0, 1] with which start + s (logits - start) has the least cross entropy.

    Args:
        logits: (N, K) of cases that the model was not trained on.
        start: (N, K) of a simpler model.
        labels: (N,) class indices.

    Returns:
        0 if the simpler model is the better one whatever is added to it.
    """

    def loss(share: float) -> float:
        mixed = start + share * (logits - start)
        return float(-log_softmax(mixed, axis=1)[np.arange(len(labels)), labels.astype(int)].mean())

    inside = float(minimize_scalar(loss, bounds=(0, 1), method="bounded").x)
    return min((0.0, inside, 1.0), key=loss)
