"""From probabilities of images to scores of patients."""

import re
from collections.abc import Iterable

import numpy as np

__all__ = ["patient_scores"]


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
