"""Read masks stored as pictures: label values, white on black, a palette, or a colour for each class."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from medzoo.datamodules.io.files import told_before
from medzoo.datamodules.io.pictures.pages import Page, read_page

__all__ = ["class_colours", "read_label_picture"]

log = logging.getLogger(__name__)

Colour = Sequence[int]
_CLASSES = "'datamodule.classes={background: [0, 0, 0], liver: [255, 0, 0]}' says what the colours are"
_STEP = 50  # levels between classes from which they are not label values
_FLAT, _APART, _AREA = 24, 96, 16  # levels within an area, levels between two tones, pixels of one, in a JPEG


def class_colours(classes: Mapping[str, Colour]) -> dict[str, tuple[int, int, int]]:
    """Classes in order of label value with their colours.

    The first is the class `background`, else the black one; if there is neither, a black background is added.

    Raises:
        ValueError: If a colour is invalid, or given twice.
    """
    given = {}
    for name, colour in classes.items():
        levels = list(colour) if isinstance(colour, Sequence) else []
        if len(levels) != 3 or not all(level in range(256) for level in levels):
            raise ValueError(f"datamodule.classes: {name} is {colour}; a colour is [red, green, blue], 0 to 255")
        given[str(name)] = (int(levels[0]), int(levels[1]), int(levels[2]))
    for colour in given.values():
        same = [other for other, found in given.items() if found == colour]
        if len(same) > 1:
            raise ValueError(f"datamodule.classes: {' and '.join(same)} are both {list(colour)}; give each its own")
    black = next((name for name, colour in given.items() if colour == (0, 0, 0)), "background")
    first = "background" if "background" in given else black
    return {first: given.get(first, (0, 0, 0)), **given}


def read_label_picture(file: Path, classes: int = 2, colours: Sequence[Colour] = ()) -> np.ndarray:
    """Read a mask.

    Without `colours` a mask holds label values: as grey levels or indices of a palette whose first entry is black; or
    as levels `255 // (classes - 1)` apart, as predictions are written. With two classes, any two tones are read if one
    is dark, in a JPEG with blurred edges. Fully transparent pixels are background.

    Args:
        file: The picture.
        classes: Label values 0 to `classes - 1` are allowed; ignored with `colours`.
        colours: Red, green and blue of each label value.

    Returns:
        (H, W) uint8.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or holds several pages, or unknown values or colours.
    """
    page = read_page(file)
    if colours:
        return _by_colour(page, file, colours)
    values = _values(page)
    if values.dtype.kind == "f" and (not np.isfinite(values).all() or (values != np.floor(values)).any()):
        raise ValueError(f"{file}: holds values that are no whole numbers; a mask holds label values")
    if values.ndim == 2:
        for step in (1, 255 // (classes - 1)):
            labels = values // step
            fits = values.min() >= 0 and labels.max() < classes and (labels * step == values).all()
            if fits and (step == 1 or step >= _STEP):
                return labels.astype(np.uint8)
    if classes > 2:
        held = f"the values {_listed(np.setdiff1d(values, range(classes)))}"
        held = held if values.ndim == 2 else f"colours such as {_named(_distinct(values))}"
        remedy = f"; {_CLASSES}" if values.ndim == 3 else ""
        remedy = "; a JPEG changes them: save it as PNG" if page.lossy else remedy
        raise ValueError(f"{file}: holds {held}; expected label values 0 to {classes - 1}{remedy}")
    return _two_tones(_grey(_colours(page)) if page.image.mode == "P" else values, file, lossy=page.lossy)


def _values(page: Page) -> np.ndarray:
    """Stored label values (H, W), or colours (H, W, 3)."""
    if page.levels is not None:
        wider = {"b1": np.uint8, "i1": np.int16}.get(page.levels.dtype.str[1:], page.levels.dtype)
        levels = page.levels.astype(wider, copy=False)
        full = levels.dtype.itemsize == 2 and (levels % 257 == 0).all()  # 8 bits stored in 16
        return levels // 257 if full else levels // page.scale if page.scale > 1 else levels
    if page.image.mode == "P" and (page.image.getpalette() or [1])[:3] == [0, 0, 0]:
        return np.where(_transparent(page), 0, np.asarray(page.image))
    return _grey(_colours(page))


def _grey(colours: np.ndarray) -> np.ndarray:
    """Reduce (H, W, 3) to (H, W) if all pixels are grey."""
    red, green, blue = (colours[..., channel] for channel in range(3))
    return red if np.array_equal(red, green) and np.array_equal(red, blue) else colours


def _colours(page: Page) -> np.ndarray:
    """Colours (H, W, 3) uint8; fully transparent pixels are black, others are taken as opaque."""
    if not page.alpha:
        return np.asarray(page.image.convert("RGB"))
    return np.where(_transparent(page)[..., None], np.uint8(0), np.asarray(page.image.convert("RGBA"))[..., :3])


def _transparent(page: Page) -> np.ndarray:
    """(H, W) bool, True where a pixel is fully transparent."""
    if not page.alpha:
        return np.zeros(page.image.size[::-1], bool)
    return np.asarray(page.image.convert("RGBA"))[..., 3] == 0


def _by_colour(page: Page, file: Path, colours: Sequence[Colour]) -> np.ndarray:
    if page.levels is not None and page.levels.dtype.itemsize > 1:
        raise ValueError(f"{file}: holds {page.levels.dtype} levels; a mask of colours has 8 bits for each")
    found, known = _codes(_colours(page)), _codes(np.array(colours, np.uint8))
    labels = np.full(found.shape, len(colours), np.uint8)
    for label, code in enumerate(known):
        labels[found == code] = label
    labels[_transparent(page)] = 0
    wrong = labels == len(colours)
    if wrong.any():
        blur = "a JPEG changes colours: save it as PNG" if page.lossy else _CLASSES
        strange = _named(_distinct(_colours(page)[wrong][None]))
        raise ValueError(f"{file}: {int(wrong.sum())} pixels have colours of no class, such as {strange}; {blur}")
    return labels


def _two_tones(values: np.ndarray, file: Path, *, lossy: bool) -> np.ndarray:
    """A mask of two tones, with the bright one as foreground."""
    bright = values.max(-1) if values.ndim == 3 else values
    top, low = int(bright.max()), int(bright.min())
    if top <= 127 or top > 255:
        raise ValueError(f"{file}: its brightest pixel is {top}; a mask holds 0 and 1, or 255 for foreground")
    tones = _flat_tones(values) if lossy else _distinct(values)
    if len(tones) > 2:
        soft = "" if values.ndim == 3 else ", or save it in black and white if its edges are soft"
        raise ValueError(f"{file}: holds {len(tones)} colours, such as {_named(tones)}; {_CLASSES}{soft}")
    if low > 127 and len(tones) > 1:
        raise ValueError(f"{file}: of its colours {_named(tones)} none is dark; {_CLASSES}")
    if lossy:
        _tell_blurred(file.parent)
    return (bright > 127).astype(np.uint8)


def _tell_blurred(folder: Path) -> None:
    if told_before(folder, "blurred"):
        return
    log.warning("%s: masks are JPEG, which blurs their edges: they are cut at half; save them as PNG", folder)


def _distinct(values: np.ndarray) -> np.ndarray:
    """(N, 3) that stand in a mask (H, W, 3), or (N,) in (H, W)."""
    codes = values if values.ndim == 2 else _codes(values)
    low, high = codes.min(), codes.max()
    found = np.unique([low, high] if ((codes == low) | (codes == high)).all() else codes)  # which sorts, and takes long
    return found if values.ndim == 2 else np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1)


def _flat_tones(values: np.ndarray) -> np.ndarray:
    """The same of areas without an edge, alike ones but once: what a JPEG makes of edges has any colour."""
    pixels = (values if values.ndim == 3 else values[..., None]).astype(np.int16)
    flat = np.ones(pixels.shape[:2], bool)
    for axis in (0, 1):
        even = np.moveaxis(np.abs(np.diff(pixels, axis=axis)).max(-1) <= _FLAT, axis, 0)
        turned = np.moveaxis(flat, axis, 0)
        turned[1:] &= even
        turned[:-1] &= even
    left = pixels[flat]
    tones: list[np.ndarray] = []
    while len(left):
        near = (np.abs(left - left[0]) < _APART).all(-1)
        if near.sum() >= _AREA:
            tones.append(left[0])
        left = left[~near]
    return np.array(tones).reshape(-1, *values.shape[2:])


def _codes(colours: np.ndarray) -> np.ndarray:
    """One number for each colour (..., 3)."""
    red, green, blue = np.moveaxis(colours.astype(np.uint32), -1, 0)
    return red << 16 | green << 8 | blue


def _named(tones: np.ndarray) -> str:
    return ", ".join(str(tone.tolist()) for tone in tones[:5])


def _listed(values: np.ndarray) -> str:
    return ", ".join(f"{value:g}" for value in values[:8]) + ", ..." * (len(values) > 8)
