"""Splits by patient and scanner; and which modalities are taken away for an ablation."""

import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from datamodules.liver.records import MODALITIES, Patient
from datamodules.splits import by_share, check_classes, stated

__all__ = ["check_tested", "chosen_by_scanner", "drop_modalities", "split_patients"]


def split_patients(
    patients: Mapping[str, Patient],
    root: Path,
    shares: Mapping[str, float],
    seed: int,
    scanners: Mapping[str, Collection[str] | None],
    class_names: Sequence[str],
) -> dict[str, list[str]]:
    """Ids of each split, in order of the table: as that says, else at random with as many of each class.

    Args:
        patients: By id, with labels.
        root: For messages.
        shares: Of `val` and `test` in a random split.
        seed: Of that.
        scanners: By split, those whose patients are kept; none keeps all.
        class_names: Every split needs two patients of each.

    Raises:
        ValueError: If some patients have a split in the table and others not, a scanner is unknown, or a split has
            fewer than two patients of a class.
    """
    _check_scanners(patients, {name for names in scanners.values() for name in names or ()}, root)
    classes = {name: patient.label for name, patient in patients.items()}
    told = stated({name: patient.split for name, patient in patients.items()}, root)
    splits = told or by_share(classes, root, **shares, seed=seed)
    splits = {split: chosen_by_scanner(names, patients, scanners[split], root) for split, names in splits.items()}
    check_classes(splits, classes, dict(enumerate(class_names)), root)
    return splits


def chosen_by_scanner(
    names: Sequence[str], patients: Mapping[str, Patient], scanners: Collection[str] | None, root: Path
) -> list[str]:
    """Those of the patients who were scanned by one of `scanners`; all where it is none.

    Raises:
        ValueError: If a scanner is unknown.
    """
    _check_scanners(patients, scanners or (), root)
    return [name for name in names if scanners is None or patients[name].scanner in scanners]


def check_tested(patients: Sequence[Patient], class_names: Sequence[str], root: Path) -> None:
    """Raise a ValueError if a class has no patient in the test."""
    there = {patient.label for patient in patients}
    for number, name in enumerate(class_names):
        if number not in there:
            raise ValueError(f"{root}: no test patient of class {name}; give at least one of each")


def _check_scanners(patients: Mapping[str, Patient], scanners: Collection[str], root: Path) -> None:
    known = {patient.scanner for patient in patients.values()}
    if strange := sorted(set(scanners) - known):
        raise ValueError(f"{root}: no patient of scanner {', '.join(strange)}; it has {', '.join(sorted(known))}")


def drop_modalities(patients: Sequence[Patient], use: Sequence[str], rate: float, seed: int) -> np.ndarray:
    """(N, M) bool: what patients have of `use`, less what is taken away.

    A patient's draws depend on seed and id alone: a modality that is missing at a rate is missing at any higher one,
    in whatever company. Who would lose all keeps what was drawn highest.
    """
    here = np.array([[patient.has[name] for name in use] for patient in patients], bool).reshape(-1, len(use))
    generators = [np.random.default_rng((seed, zlib.crc32(patient.id.encode()))) for patient in patients]
    drawn = np.array([each.uniform(size=len(MODALITIES)) for each in generators]).reshape(-1, len(MODALITIES))
    drawn = drawn[:, [MODALITIES.index(name) for name in use]]
    kept = here & (drawn >= rate)
    last = np.where(here, drawn, -1).argmax(1)
    alone = ~kept.any(1) & here.any(1)
    kept[alone, last[alone]] = True
    return kept
