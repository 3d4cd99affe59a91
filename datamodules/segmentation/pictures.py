"""Pictures with masks, as 2-D data are most often published.

<root>/images/<case>.{png,jpg,...}
<root>/masks/<case>.{png,jpg,...}    two tones, label values, or a colour for each class (`io/pictures/labels.py`)
<root>/patients.csv                  case, patient: optional, if names do not contain the patient
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medzoo.datamodules.io import find_table, in_order, match_ids, named, read_table, setting, some
from medzoo.datamodules.io.pictures.pages import PICTURES, is_picture, read_picture
from medzoo.datamodules.segmentation.files import UNNAMED, CaseFiles, DatasetFiles

__all__ = ["alike", "listed", "read_pictures", "several_of_one_name"]

log = logging.getLogger(__name__)

# Correlation with the slice before. Neighbouring slices of one head at 5 mm reach 0.85 and more, those of two heads
# 0.1 to 0.7; slices of one abdomen, 10 to 45 slices apart, 0.3 to 0.6, of two abdomens 0.1 to 0.6.
_OTHER, _SAME = 0.3, 0.5
_ASK = "set datamodule.patient (a pattern of their names), or list case and patient in patients.csv there"
Colour = tuple[int, int, int]
_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def read_pictures(root: Path, classes: Sequence[str] = (), colours: Sequence[Colour] = ()) -> DatasetFiles:
    """List the cases; those without a mask are for prediction only.

    `classes` are named by label value, by default background and foreground. `colours` are red, green and blue by label
    value, or empty if masks hold label values.

    Raises:
        FileNotFoundError: If there is no picture with a mask.
        ValueError: If two pictures have one name.
    """
    images, masks = _pictures(root / "images"), _pictures(root / "masks")
    cases = [CaseFiles(name, (file,), masks.get(name), tuple(colours)) for name, file in images.items()]
    train, other = (tuple(case for case in cases if bool(case.mask) is there) for there in (True, False))
    if not train:
        raise FileNotFoundError(f"{root}: no picture in images/ has a mask of the same name in masks/")
    if other:
        told = "%s: %d pictures of %d have no mask of the same name, and are not trained on: %s"
        log.warning(told, root, len(other), len(cases), some([case.id for case in other]))
    if alone := [name for name in masks if name not in images]:
        log.warning("%s: %d masks have no picture of the same name: %s", root, len(alone), some(alone))
    return DatasetFiles(tuple(classes or UNNAMED), ("grey",), train, (), other)


def alike(cases: Sequence[CaseFiles], root: Path) -> dict[str, str]:
    """Guess the patients of slices: a slice that is unlike the one before starts a new patient.

    Two patients counted as one do no harm, but one counted as two would let a network be tested on a patient that it
    has seen. So only a slice quite unlike the one before starts a patient. Nothing is guessed if some slices are
    neither like nor unlike, if most would start a patient, or if names give no order.

    Returns:
        The first case of the patient, by case, in order of the number at the end of the names.

    Raises:
        ValueError: If patients cannot be told apart.
    """
    ordered = sorted(cases, key=lambda case: in_order(case.id))
    _check_names([case.id for case in ordered], root)
    groups: dict[str, str] = {}
    before, patient, unsure = None, "", []
    for case in ordered:
        if not is_picture(case.images[0]):
            raise ValueError(f"{case.images[0]}: patients are told apart by likeness in pictures alone; {_ASK}")
        small = read_picture(case.images[0], size=(64, 64), cubic=True).astype(float).ravel()
        with np.errstate(invalid="ignore"):  # an empty slice counts as like
            alike = 1.0 if before is None else float(np.nan_to_num(np.corrcoef(before, small)[0, 1], nan=1.0))
        if _OTHER < alike < _SAME:
            unsure.append(f"{case.id} ({alike:.2f})")
        patient = patient if patient and alike > _OTHER else case.id
        groups[case.id], before = patient, small
    count = len(set(groups.values()))
    if unsure or 2 * count > len(cases) > 1:
        told = f"{len(unsure)} are neither like nor unlike" if unsure else f"{count} are unlike"
        raise ValueError(
            f"{root}: patients cannot be told apart by likeness to the slice before: of {len(cases)} slices {told}"
            f"{', such as ' * bool(unsure)}{some(unsure)}; {_ASK}"
        )
    log.warning(
        "%s: slices have no patient; by likeness, %d patients are told apart in %d slices, some of which may be "
        "several; %s",
        root, count, len(groups), _ASK,
    )  # fmt: skip
    return groups


def listed(root: Path, cases: Sequence[CaseFiles]) -> dict[str, str] | None:
    """The patient of each case by `patients.csv` in the folder; None without such a file.

    Raises:
        ValueError: If it lacks a column, a case or a name, or gives a case two patients.
    """
    file = find_table(root, "patients")
    if not file.is_file():
        return None
    found: dict[str, str] = {}
    table = read_table(file)
    table.need("case", "patient")
    for row in table.rows:
        case, patient = row["case"], row["patient"]
        if not case or not patient:
            raise ValueError(f"{row.where}: every row needs a case and a patient")
        name = Path(case).stem if Path(case).suffix.lower() in PICTURES else case
        if found.setdefault(name, patient) != patient:
            raise ValueError(f"{row.where}: case {name} is of {found[name]} and of {patient}")
    if absent := match_ids([case.id for case in cases], found, file):
        raise ValueError(f"{file}: no row for {some(absent)}")
    return found


def several_of_one_name(names: Sequence[str]) -> str:
    """A pattern of patients if the names of some slices differ only in their last number; else empty."""
    stems = [_stem(name) for name in names]
    if len(set(stems)) < 2 or len(set(stems)) == len(stems):
        return ""
    joints = {stem[-1] for stem in stems if stem}
    return rf"(.*){joints.pop() if len(joints) == 1 and not joints & {*_ALPHABET} else '[_-]?'}\d+"


def _check_names(names: Sequence[str], root: Path) -> None:
    if pattern := several_of_one_name(names):
        raise ValueError(
            f"{root}: names such as {names[0]} seem to contain the patient: set "
            f"{setting('datamodule.patient', pattern)} if this matches, or another pattern, or list case and "
            f"patient in {root / 'patients.csv'}"
        )
    if len(set(map(_stem, names))) > 1 or not all(name[-1:].isdigit() for name in names):
        raise ValueError(f"{root}: names such as {names[0]} give no order in which slices could be compared; {_ASK}")


def _stem(name: str) -> str:
    """The name without the number at its end."""
    return re.sub(r"\d+$", "", name)


def _pictures(folder: Path) -> dict[str, Path]:
    """Pictures by name, in order."""
    found = named(folder, PICTURES) if folder.is_dir() else {}
    for name, file in found.items():
        if name == file.name:
            raise ValueError(f"{folder}: two pictures are called {file.stem}; rename or remove one")
    return dict(sorted(found.items(), key=lambda pair: in_order(pair[0])))
