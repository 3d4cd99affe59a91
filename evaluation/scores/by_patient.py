"""From probabilities of images to scores of patients, and what these are worth."""

import re
from collections.abc import Iterable

import numpy as np

from medzoo.evaluation.scores.diagnostic import calibration_line, check_known, delong, rates

__all__ = ["judge_patients", "patient_scores"]


def patient_scores(
    ids: Iterable[str], prob: np.ndarray, label: np.ndarray, pattern: str
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """A patient's score is the mean probability of the last class over the patient's images.

    Args:
        ids: N names of images.
        prob: (N, K).
        label: (N,).
        pattern: Regular expression; its first group in the id of an image is the patient.

    Returns:
        M names in order, scores (M,) and labels (M,).

    Raises:
        ValueError: If an id does not match.
    """
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(ids):
        found = re.fullmatch(pattern, name)
        if found is None:
            raise ValueError(f"lightning_module.patient={pattern!r} does not match the id {name}")
        groups.setdefault(found.group(1), []).append(index)
    names = sorted(groups)
    score = np.array([prob[groups[name], -1].mean() for name in names])
    return names, score, np.array([label[groups[name][0]] for name in names])


def judge_patients(
    positive: np.ndarray,
    score: np.ndarray,
    threshold: float,
    probability: np.ndarray | None = None,
    without_image: np.ndarray | None = None,
) -> dict[str, float]:
    """Areas, rates and errors of the scores of patients.

    Args:
        positive: (N,) bool.
        score: (N,) in [0, 1].
        threshold: Of a positive call.
        probability: (N,) calibrated; None if nothing was calibrated.
        without_image: (N,) bool, patients of whom there is no image; they count everywhere but in slope and intercept,
            since a score of 0 by rule has no logit.

    Returns:
        `auc` and the rates at the threshold, with their intervals; `brier` of the scores; `brier_calibrated` of the
        probabilities, if there are any; `calibration_slope` and `calibration_intercept` of the scores.
    """
    imaged = np.ones(len(score), bool) if without_image is None else ~without_image
    found = {name: value for name, value in delong(positive, score).items() if name != "standard_error"}
    found |= rates(positive, score >= threshold)
    found |= calibration_line(positive[imaged], score[imaged])
    found["brier"] = float(np.mean((score - positive) ** 2))
    if probability is not None:
        check_known(probability)
        found["brier_calibrated"] = float(np.mean((probability - positive) ** 2))
    return found
