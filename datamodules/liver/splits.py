"""Who is trained on, validated on and tested on; and which modalities are taken away for an ablation."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from datamodules.liver.records import MODALITIES, Patient

__all__ = ["SPLITS", "chosen_by_scanner", "drop_modalities", "split_patients"]

SPLITS = ("train", "val", "test")


def split_patients(
    patients: Sequence[Patient],
    root: Path,
    shares: Mapping[str, float],
    seed: int,
    scanners: Mapping[str, Sequence[str] | None],
    class_names: Sequence[str],
) -> dict[str, list[Patient]]:
    """Split by patient, over all modalities: as the table says, else at random with as many of each class.

    Args:
        patients: With labels.
        root: For messages.
        shares: Of `val` and `test`.
        seed: Of the random split.
        scanners: By split, those whose patients are kept; none keeps all.
        class_names: Every split needs two patients of each.

    Returns:
        Patients of each split in order of the table.

    Raises:
        ValueError: If some patients have a split in the table and others not, a scanner is unknown, or a split has
            fewer than two patients of a class.
    """
    told = [patient.id for patient in patients if patient.split]
    if told and len(told) < len(patients):
        silent = next(patient.id for patient in patients if not patient.split)
        raise ValueError(f"{root}: patient {silent} has no split, others have; fill the column or remove it")
    _check_scanners(patients, {name for names in scanners.values() for name in names or ()}, root)
    names = {patient.id: patient.split for patient in patients} if told else _drawn(patients, root, shares, seed)
    splits: dict[str, list[Patient]] = {name: [] for name in SPLITS}
    for patient in patients:
        name = names[patient.id]
        if scanners[name] is None or patient.scanner in (scanners[name] or ()):
            splits[name].append(patient)
    for name, chosen in splits.items():
        for label, said in enumerate(class_names):
            count = sum(patient.label == label for patient in chosen)
            if count < 2:
                raise ValueError(f"{root}: {count} {name} patients of class {said}; two are needed, so split otherwise")
    together = [patient.id for chosen in splits.values() for patient in chosen]
    assert len(set(together)) == len(together), "a patient stands in two splits"
    return splits


def chosen_by_scanner(
    names: Sequence[str], patients: Mapping[str, Patient], scanners: Sequence[str] | None, root: Path
) -> list[str]:
    """Those of the patients who were scanned by one of `scanners`; all where it is none.

    Raises:
        ValueError: If a scanner is unknown.
    """
    if scanners is None:
        return list(names)
    _check_scanners(list(patients.values()), set(scanners), root)
    return [name for name in names if patients[name].scanner in scanners]


def _check_scanners(patients: Sequence[Patient], scanners: set[str], root: Path) -> None:
    known = {patient.scanner for patient in patients}
    if strange := sorted(scanners - known):
        raise ValueError(f"{root}: no patient of scanner {', '.join(strange)}; it has {', '.join(sorted(known))}")


def drop_modalities(patients: Sequence[Patient], use: Sequence[str], rate: float, seed: int) -> np.ndarray:
    """(N, M) bool: what patients have of `use`, less what is taken away.

    A patient's draws depend on seed and id alone: a modality that is missing at a rate is missing at any higher one,
    in whatever company. Who would lose all keeps what was drawn highest.
    """
    here = np.array([[patient.has[name] for name in use] for patient in patients], bool).reshape(-1, len(use))
    drawn = np.array([_draws(patient.id, seed, use) for patient in patients]).reshape(here.shape)
    kept = here & (drawn >= rate)
    last = np.where(here, drawn, -1).argmax(1)
    alone = ~kept.any(1) & here.any(1)
    kept[alone, last[alone]] = True
    return kept


def _draws(name: str, seed: int, use: Sequence[str]) -> np.ndarray:
    drawn = np.random.default_rng((seed, zlib.crc32(name.encode()))).uniform(size=len(MODALITIES))
    return drawn[[MODALITIES.index(modality) for modality in use]]


def _drawn(patients: Sequence[Patient], root: Path, shares: Mapping[str, float], seed: int) -> dict[str, str]:
    names, labels = [patient.id for patient in patients], [patient.label for patient in patients]
    try:
        rest, test, labels, _ = train_test_split(
            names, labels, test_size=shares["test"], stratify=labels, random_state=seed
        )
        share = shares["val"] / (1 - shares["test"])
        train, val = train_test_split(rest, test_size=share, stratify=labels, random_state=seed)
    except ValueError as error:
        raise ValueError(f"{root}: {len(names)} patients with labels cannot be split ({error})") from None
    parts = zip(SPLITS, (train, val, test), strict=True)
    return {name: split for split, chosen in parts for name in chosen}
