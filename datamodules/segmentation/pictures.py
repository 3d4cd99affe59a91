"""Pictures with masks, as 2-D data are most often given out.

<root>/images/<case>.{png,jpg,...}
<root>/masks/<case>.{png,jpg,...}    foreground: a label value 1, or any channel above 127
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from datamodules.segmentation.files import UNNAMED, CaseFiles, DatasetFiles, is_picture

__all__ = ["alike", "read_mask", "read_picture", "read_pictures"]

_ALIKE = 0.6  # correlation; neighbouring slices of one head at 5 mm reach 0.85, those of two heads 0.1 to 0.6


def read_pictures(root: Path) -> DatasetFiles:
    """List the cases; those without a mask are for prediction alone.

    Raises:
        FileNotFoundError: If there is no picture with a mask.
    """
    masks = {file.stem: file for file in _pictures(root / "masks")}
    cases = [CaseFiles(file.stem, (file,), masks.get(file.stem)) for file in _pictures(root / "images")]
    train, other = (tuple(case for case in cases if bool(case.mask) is there) for there in (True, False))
    if not train:
        raise FileNotFoundError(f"{root}: no picture in images/ has a mask of the same name in masks/")
    return DatasetFiles(tuple(UNNAMED), ("grey",), train, (), other)


def read_picture(file: Path) -> np.ndarray:
    """(H, W) float32 from 0 to 255, colour as grey.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        with Image.open(file) as image:
            return np.asarray(image.convert("L"), np.float32)
    except OSError as error:
        raise ValueError(f"{file} could not be read as a picture ({error})") from error


def read_mask(file: Path) -> np.ndarray:
    """(H, W) uint8 of 0 and 1.

    Raises:
        ValueError: If it cannot be read, or its values are neither labels nor bright.
    """
    try:
        with Image.open(file) as image:
            levels = np.asarray(image.convert("RGB") if image.mode not in ("L", "1", "I;16") else image)
    except OSError as error:
        raise ValueError(f"{file} could not be read as a picture ({error})") from error
    brightest = levels.astype(np.uint8).max(-1) if levels.ndim == 3 else levels
    top = int(brightest.max(initial=0))
    if 1 < top <= 127:
        raise ValueError(f"{file}: its brightest pixel is {top}; a mask holds 0 and 1, or 255 for foreground")
    return (brightest > (127 if top > 1 else 0)).astype(np.uint8)


def alike(cases: Sequence[CaseFiles]) -> dict[str, str]:
    """Tell patients apart where nobody says whose a slice is: one that is unlike the slice before begins a new patient.

    Args:
        cases: All there are; numbers in their names give the order.

    Returns:
        By case, the first case of its patient. The bound is low: that two patients count as one does no harm, that one
        counts as two would let a network be tested on whom it has seen.
    """
    groups: dict[str, str] = {}
    before, patient = None, ""
    for case in sorted(cases, key=lambda case: _in_order(case.id)):
        with Image.open(case.images[0]) as image:
            small = np.asarray(image.convert("L").resize((64, 64)), float)
        with np.errstate(invalid="ignore"):  # an empty slice is like any other
            same = before is not None and not np.corrcoef(before.ravel(), small.ravel())[0, 1] <= _ALIKE
        patient = patient if same else case.id
        groups[case.id], before = patient, small
    return groups


def _in_order(name: str) -> list[tuple[int, str]]:
    """So that 10 comes after 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _pictures(folder: Path) -> list[Path]:
    files = sorted(folder.iterdir(), key=lambda file: _in_order(file.stem)) if folder.is_dir() else []
    return [file for file in files if is_picture(file)]
