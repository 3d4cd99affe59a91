"""Rules that split patients into training, validation and test.

Each rule takes all patients and returns those of `train`, `val` and `test` in the given order; the same patients always
give the same splits. `BaseDataModule.divide` checks that no patient is in two of them.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from sklearn.model_selection import KFold, train_test_split

from medzoo.datamodules.seen import SPLITS

__all__ = ["by_group", "by_share", "check_classes", "few", "held_out", "patient_in", "stated"]

_Item = TypeVar("_Item")
_SEED = 12345  # nnU-Net's, so that our folds equal its folds


def patient_in(name: str, pattern: str | re.Pattern[str], unmatched: str = "") -> str:
    """The patient of a file or case: the first group of a pattern in its name.

    Raises:
        ValueError: If the pattern does not match; with the message `unmatched` if given.
    """
    found = re.fullmatch(pattern, name)
    if found is None:
        raise ValueError(unmatched or f"datamodule.patient={re.compile(pattern).pattern!r} does not match {name}")
    return found.group(1)


def few(items: Sequence[_Item], kind: Callable[[_Item], object]) -> list[_Item]:
    """Two items to rehearse with: the first, and the next of another kind if there is one."""
    other = next((one for one in items if kind(one) != kind(items[0])), None)
    return [items[0], other] if other is not None else [*items[:2]]


def held_out(patients: Iterable[str], fold: int, folds: int, source: Path) -> set[str]:
    """Validation patients of a fold, 0 to `folds - 1`.

    Raises:
        ValueError: If there are fewer patients than folds.
    """
    ordered = sorted(set(patients))
    if len(ordered) < folds:
        raise ValueError(f"{source}: {len(ordered)} patients are too few for {folds} folds; lower datamodule.folds")
    parts = list(KFold(folds, shuffle=True, random_state=_SEED).split(ordered))
    return {ordered[index] for index in parts[fold][1]}


def by_share(
    classes: Mapping[str, Hashable], source: Path, *, val: float, test: float, seed: int
) -> dict[str, list[str]]:
    """Split at random by `seed`, stratified by class.

    `val` and `test` are shares of the patients; with `test=0` there is no test split.

    Raises:
        ValueError: If there are too few patients.
    """
    names, labels = list(classes), list(classes.values())
    rest, tested = names, list[str]()
    try:
        if test:
            rest, tested, labels, _ = train_test_split(
                names, labels, test_size=test, stratify=labels, random_state=seed
            )
        train, chosen = train_test_split(rest, test_size=val / (1 - test), stratify=labels, random_state=seed)
    except ValueError as error:
        raise ValueError(f"{source}: {len(names)} patients with labels cannot be split ({error})") from None
    places = {**dict.fromkeys(train, "train"), **dict.fromkeys(chosen, "val"), **dict.fromkeys(tested, "test")}
    return {split: [name for name in names if places[name] == split] for split in SPLITS}


def by_group(
    groups: Mapping[str, str], source: Path, *, val: Sequence[str], test: Sequence[str]
) -> dict[str, list[str]]:
    """Split by hospital; patients of hospitals that are not named are for training.

    Raises:
        ValueError: If a named hospital does not exist, or a split has no patient.
    """
    known = sorted(set(groups.values()))
    if unknown := [name for name in (*val, *test) if name not in known]:
        raise ValueError(f"{source} has no hospital {', '.join(unknown)}; it has {', '.join(known)}")
    places = {**dict.fromkeys(val, "val"), **dict.fromkeys(test, "test")}
    splits: dict[str, list[str]] = {name: [] for name in SPLITS}
    for patient, group in groups.items():
        splits[places.get(group, "train")].append(patient)
    for name, patients in splits.items():
        if not patients:
            raise ValueError(f"{source}: no {name} patients; hospitals are {', '.join(known)}")
    return splits


def stated(words: Mapping[str, str], source: Path, column: str = "split") -> dict[str, list[str]] | None:
    """Split by a column of a table: its word by patient, empty if missing; None if no patient has one.

    Raises:
        ValueError: If only some patients have a split, or a word is not one of the three.
    """
    if not any(words.values()):
        return None
    for patient, word in words.items():
        if not word:
            raise ValueError(f"{source}: patient {patient} has no {column}, others have; fill the column or remove it")
        if word not in SPLITS:
            raise ValueError(f"{source}: {column} of {patient} is {word!r}; expected train, val or test")
    return {name: [patient for patient, word in words.items() if word == name] for name in SPLITS}


def check_classes(
    splits: Mapping[str, Sequence[str]],
    classes: Mapping[str, Hashable],
    names: Mapping[Hashable, str],
    source: Path,
) -> None:
    """Refuse splits with too few patients of a class.

    Raises:
        ValueError: If a split has fewer than two patients of a class in `names`.
    """
    for split, patients in splits.items():
        for value, name in names.items():
            count = sum(classes[one] == value for one in patients)
            if count < 2:
                told = f"{count} patients of class {name} in {split}; two are needed, so split otherwise"
                raise ValueError(f"{source}: {told}")
