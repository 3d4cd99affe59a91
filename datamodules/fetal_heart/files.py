"""Read the folder of a cohort.

    root/images/<case>_<view>.png    grey views, several for a case; any kind of picture
    root/masks/<case>_<view>.png     labels 0 to 4 as in `measures.morphology`; all or some may be missing
    root/cases.csv (or .tsv, .xlsx)  case, label (0 or 1), measured predictors, spacing_mm (of a pixel) for masks, split
    root/readers.csv                 case, reader, score (larger for positive), called (0 or 1); may be missing
    root/truth.csv                   of phantoms only: case, probability

A predictor is a column of `cases.csv`, or else measured in the masks: the mean over the views of a case.
"""

import glob
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medzoo.datamodules.cases import Cases
from medzoo.datamodules.io import Row, find_table, flag, listed, match_ids, number, read_table
from medzoo.datamodules.io.pictures.labels import read_label_picture
from medzoo.datamodules.seen import SPLITS
from medzoo.datamodules.splits import patient_in
from medzoo.evaluation.measures.morphology import CHAMBERS, morphology

__all__ = ["read_cases", "read_chambers"]

log = logging.getLogger(__name__)

_PIXEL = (1e-3, 10)
"""mm of a pixel; values outside are in another unit."""


def read_cases(
    root: Path, images: Sequence[str], predictors: Sequence[str], pattern: str, *, labelled: bool = True
) -> tuple[Cases, list[str]]:
    """Read the tables, and measure missing predictors in the masks.

    Images are named without ending; the first group of `pattern` is the case. With `labelled=False`, for prediction,
    labels, splits and readers are not read.

    Returns:
        The cases, and for each image the name of its case.

    Raises:
        FileNotFoundError: If there is no `cases.csv`.
        ValueError: If a case is in the table twice, tables and images do not match, a cell is not a number, or a
            predictor is neither in the table nor measurable.
    """
    file = find_table(root, "cases")
    if not file.is_file():
        raise FileNotFoundError(f"no file {file}: it lists the cases (docs/models/hlhs.md)")
    table = read_table(file).by("case")
    unmatched = "case={!r} does not match the image {}: its first group has to be the case"
    owners = [patient_in(name, pattern, unmatched.format(pattern, name)) for name in images]
    match_ids(owners, table, file)
    for name in sorted({*owners} ^ {*table}):
        if name in table:
            raise ValueError(f"{file}: case {name} has no image of it in images/")
        raise ValueError(f"{file}: no row for case {name}, which has an image")
    names, columns = sorted(table), table[owners[0]]
    lacking = [key for key in predictors if key not in columns]
    measured = _measured(root, images, owners, table, file, lacking) if lacking else {}
    values = {key: measured[key] if key in measured else _column(table, names, key) for key in predictors}
    if not labelled:
        return Cases(names, None, ["predict"] * len(names), values, {}), owners
    splits = [table[name]["split"] for name in names] if "split" in columns else []
    if wrong := {*splits} - {*SPLITS}:
        raise ValueError(f"{file}: split {sorted(wrong)[0]!r} is not one of train, val, test")
    truth = root / "truth.csv"
    probability = _column(read_table(truth).by("case"), names, "probability") if truth.is_file() else None
    readers = _readers(find_table(root, "readers"), names)
    return Cases(names, _positive(table, names), splits, values, readers, probability), owners


def read_chambers(root: Path, image: str) -> tuple[Path | None, np.ndarray]:
    """The mask file of an image and its values (H, W), 0 and those of `CHAMBERS`; None if there is no mask."""
    file = next(iter(listed(root / "masks", f"{glob.escape(image)}.*")), None)
    return file, np.zeros((0, 0)) if file is None else read_label_picture(file, 1 + len(CHAMBERS))


def _column(table: Mapping[str, Row], names: Sequence[str], key: str) -> np.ndarray:
    return np.array([number(table[name], key) for name in names])


def _positive(table: Mapping[str, Row], names: Sequence[str]) -> np.ndarray | None:
    if "label" not in table[names[0]]:
        return None
    labels = np.array([flag(table[name], "label") for name in names])
    for name, label in zip(names, labels, strict=True):
        if np.isnan(label):
            raise ValueError(f"{table[name].where}: label is missing; expected 0, or 1 for the outcome")
    return labels == 1


def _measured(
    root: Path,
    images: Sequence[str],
    owners: Sequence[str],
    table: Mapping[str, Row],
    source: Path,
    wanted: Sequence[str],
) -> dict[str, np.ndarray]:
    """Predictors measured in the masks: the mean over the views of a case, NaN without a mask."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sorted(table)}
    odd = 0
    for image, owner in zip(images, owners, strict=True):
        file, labels = read_chambers(root, image)
        if file is None:
            continue
        spacing = number(table[owner], "spacing_mm", *_PIXEL)
        try:
            sizes, notes = morphology(labels, (spacing, spacing))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        found[owner].append(sizes)
        odd += bool(notes)
    if odd:
        log.warning("%d masks are odd: a chamber is missing, in pieces or a pixel wide", odd)
    known = {key for sizes in found.values() for one in sizes for key in one}
    for key in wanted:
        if key not in known:
            told = f"masks measure {', '.join(sorted(known))}" if known else "there are no masks to measure it in"
            raise ValueError(f"{key}: no column of {source}, and {told}")
    return {key: np.array([_mean([one[key] for one in views]) for views in found.values()]) for key in wanted}


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _readers(file: Path, names: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Scores and calls of each reader, in the order of the file."""
    if not file.is_file():
        return {}
    place = {name: row for row, name in enumerate(names)}
    table = read_table(file)
    table.need("case", "reader", "score", "called")
    for name in match_ids([row["case"] for row in table.rows], names, file):
        raise ValueError(f"{file}: case {name} is not in the table of cases")
    readings: dict[str, Any] = {}
    for row in table.rows:
        scores, calls = readings.setdefault(row["reader"], np.full((2, len(names)), np.nan))
        case = place[row["case"]]
        if np.isfinite([scores[case], calls[case]]).any():
            raise ValueError(f"{row.where}: reader {row['reader']} has read case {row['case']} twice; keep one row")
        scores[case], calls[case] = number(row, "score"), flag(row, "called")
    return {reader: (scores, calls) for reader, (scores, calls) in readings.items()}
