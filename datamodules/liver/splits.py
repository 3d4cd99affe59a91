"""Splits by patient, site and scanner, and modalities dropped for an ablation."""

import zlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from medzoo.datamodules.liver.records import MODALITIES, Patient
from medzoo.datamodules.splits import by_share, check_classes, stated

__all__ = ["check_tested", "chosen_by_scanner", "drop_modalities", "split_patients"]


def split_patients(
    patients: Mapping[str, Patient],
    root: Path,
    shares: Mapping[str, float],
    seed: int,
    scanners: Mapping[str, Collection[str] | None],
    class_names: Sequence[str],
    sites: Sequence[str] = (),
) -> dict[str, list[str]]:
    """Ids of each split, in order of the table: by its column `split`, else at random, stratified by class.

    Args:
        patients: By id, with labels.
        root: For messages.
        shares: Shares of `val` and `test` in a random split.
        seed: Seed of a random split.
        scanners: Scanners to keep, by split; None keeps all.
        class_names: Classes; every split needs two patients of each.
        sites: Sites whose patients are the test, instead of a share; the others are for training and validation.

    Raises:
        ValueError: If some patients have a split in the table and others not, a scanner or site is unknown, both the
            table and `sites` say who is tested, or a split has fewer than two patients of a class.
    """
    classes = {name: patient.label for name, patient in patients.items()}
    told = stated({name: patient.split for name, patient in patients.items()}, root)
    if sites:
        if told:
            raise ValueError(f"{root}: both test_sites and the column split say who is tested; leave one of them out")
        splits = _by_site(patients, root, shares["val"], seed, sites)
    else:
        splits = told or by_share(classes, root, **shares, seed=seed)
    splits = chosen_by_scanner(splits, patients, scanners, root)
    check_classes(splits, classes, dict(enumerate(class_names)), root)
    return splits


def _by_site(
    patients: Mapping[str, Patient], root: Path, val_share: float, seed: int, sites: Sequence[str]
) -> dict[str, list[str]]:
    known = {patient.site for patient in patients.values()}
    if strange := sorted(set(sites) - known):
        there = ", ".join(sorted(known - {""})) or "no column site"
        raise ValueError(f"{root}: no patient of site {', '.join(strange)}; it has {there}")
    if unknown := [name for name, patient in patients.items() if not patient.site]:
        raise ValueError(f"{root}: patient {unknown[0]} has no site, others have; fill the column")
    others = {name: patient.label for name, patient in patients.items() if patient.site not in sites}
    tested = [name for name, patient in patients.items() if patient.site in sites]
    return {**by_share(others, root, val=val_share, test=0, seed=seed), "test": tested}


def chosen_by_scanner(
    splits: Mapping[str, Sequence[str]],
    patients: Mapping[str, Patient],
    scanners: Mapping[str, Collection[str] | None],
    root: Path,
) -> dict[str, list[str]]:
    """Patients of each split who were scanned by one of its `scanners`; None keeps all.

    Raises:
        ValueError: If a scanner is unknown.
    """
    known = {patient.scanner for patient in patients.values()}
    allowed = {split: known if (names := scanners[split]) is None else names for split in splits}
    if strange := sorted(set().union(*allowed.values()) - known):
        raise ValueError(f"{root}: no patient of scanner {', '.join(strange)}; it has {', '.join(sorted(known))}")
    return {split: [one for one in ids if patients[one].scanner in allowed[split]] for split, ids in splits.items()}


def check_tested(patients: Sequence[Patient], class_names: Sequence[str], root: Path) -> None:
    """Raise a ValueError if a class has no patient in the test."""
    there = {patient.label for patient in patients}
    for number, name in enumerate(class_names):
        if number not in there:
            raise ValueError(f"{root}: no test patient of class {name}; give at least one of each")


def drop_modalities(patients: Sequence[Patient], use: Sequence[str], rate: float, seed: int) -> np.ndarray:
    """(N, M) bool: the modalities of `use` that patients have, after dropping some at random.

    A patient's draws depend only on seed and id: a modality dropped at one rate is dropped at any higher rate, whatever
    the cohort. A patient who would lose all modalities keeps the one drawn highest.
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
