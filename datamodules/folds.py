"""Folds of patients: the same patients give the same folds, whoever asks."""

from collections.abc import Iterable

from sklearn.model_selection import KFold

__all__ = ["held_out"]

_SEED = 12345  # nnU-Net's, so that its folds are ours


def held_out(patients: Iterable[str], fold: int, folds: int) -> set[str]:
    """Patients of the validation fold.

    Args:
        patients: All there are.
        fold: 0 to `folds - 1`.
        folds: How many there are; no more than patients.
    """
    ordered = sorted(set(patients))
    parts = list(KFold(folds, shuffle=True, random_state=_SEED).split(ordered))
    return {ordered[index] for index in parts[fold][1]}
