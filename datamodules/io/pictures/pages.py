"""Read PNG, JPEG, BMP, TIFF, GIF and WebP, recognised by content; the only module that opens pictures.

Intensities of 8 bits and fewer are read as a viewer shows them, 0 to 255. Those of 16 and 32 bits and floats, whose
full scale is unknown, are stretched so that the range of the picture fills 0 to 255. Pictures are rotated by EXIF;
colour becomes grey by the weights of ITU-R 601; transparent pixels are black.
"""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from medzoo.datamodules.io.arrays import stretched
from medzoo.datamodules.io.files import hidden, opening
from medzoo.files import replacing

__all__ = ["PICTURES", "Page", "is_picture", "read_page", "read_pages", "read_picture", "stored_pages", "write_picture"]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp")
"""Endings of pictures, in lower case."""
_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "GIF", "WEBP")
_GREY = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L")
_SUBFILE, _DESCRIPTION, _PHOTOMETRY, _SAMPLES = 254, 270, 262, 339  # tags of TIFF
_Value = TypeVar("_Value", int, str)
_SCALED = {"L;2": 85, "L;4": 17}  # factor that Pillow applies to levels of two and four bits


@dataclass(frozen=True)
class Page:
    """A stored picture, upright.

    Attributes:
        image: The picture with its palette and alpha.
        levels: (H, W) in the file's own type, white above black; None with colour, a palette or alpha.
        lossy: Whether the format changes colours.
        scale: Factor applied to levels of fewer than 8 bits.
    """

    image: Image.Image
    levels: np.ndarray | None
    lossy: bool = False
    scale: int = 1

    @property
    def alpha(self) -> bool:
        """Whether parts may be transparent."""
        return _alpha(self.image)


def is_picture(file: Path) -> bool:
    """Whether a file is a picture by its name; hidden files, which macOS leaves, are not."""
    return file.suffix.lower() in PICTURES and not hidden(file)


def read_picture(
    file: Path, *, colour: bool = False, size: tuple[int, int] | None = None, cubic: bool = False
) -> np.ndarray:
    """Read a picture of one page.

    Args:
        file: The picture.
        colour: Whether to keep colour.
        size: Height and width to resize to, with rounded levels; by default its own.
        cubic: Whether to resize by cubic instead of linear interpolation.

    Returns:
        (H, W), or (H, W, 3) with `colour`, float32 from 0 to 255.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, is not a picture, holds NaN or several pages, or would not fit into memory.
    """
    pixels = _shown(read_page(file), file, colour=colour)
    if size is None or pixels.shape[:2] == tuple(size):
        return pixels
    levels = Image.fromarray(np.rint(pixels).astype(np.uint8))
    by = Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR
    return np.asarray(levels.resize((size[1], size[0]), by), np.float32)


def read_pages(file: Path, *, colour: bool = False) -> list[np.ndarray]:
    """Read all pages of a picture, usually one.

    Args:
        file: The picture.
        colour: Whether to keep colour.

    Returns:
        Pages (H, W), or (H, W, 3) with `colour`, float32 from 0 to 255.

    Raises:
        FileNotFoundError: As of `read_picture`.
        ValueError: As of `read_picture`, but for several pages.
    """
    return [_shown(page, file, colour=colour) for page in stored_pages(file)]


def write_picture(pixels: np.ndarray, file: Path) -> None:
    """Write (H, W) or (H, W, 3) uint8 in one step, in the format of the name's ending."""
    with replacing(file) as partial:
        Image.fromarray(pixels).save(partial)


def read_page(file: Path) -> Page:
    """Read the only page of a file.

    Raises:
        FileNotFoundError: As of `read_picture`.
        ValueError: As of `read_picture`.
    """
    pages = stored_pages(file)
    if len(pages) > 1:
        raise ValueError(f"{file}: holds {len(pages)} pages, and one is expected; save each as a file of its own")
    return pages[0]


def stored_pages(file: Path) -> list[Page]:
    """Read all pages, without thumbnails and smaller copies.

    Raises:
        FileNotFoundError: As of `read_picture`.
        ValueError: As of `read_picture`, but for several pages.
    """
    try:
        with opening(file, "a picture"), warnings.catch_warnings(action="ignore"), _opened(file) as image:
            pages, wrong = _read(image)  # warnings are not about pixels
    except Image.DecompressionBombError as error:
        raise ValueError(f"{file} would fill the memory: {error} Cut it, or make it smaller") from None
    if wrong:
        raise ValueError(f"{file}: {wrong}")
    return pages


def _read(image: Image.Image) -> tuple[list[Page], str]:
    """The pages, and why some content cannot be read; empty if all can."""
    pages, wrong = [], ""
    several = (
        getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    )  # a camera's: further pages are depth or brightness
    for number in range(several):
        if several > 1:
            image.seek(number)
        if number and _tag(image, _SUBFILE, 0) & 1:  # a thumbnail
            continue
        raw = _raw(image)  # lost after loading
        image.load()
        wrong = wrong or _unreadable(image, raw, several)
        pages.append(_page(image, raw))
    return pages, wrong


def _opened(file: Path) -> Image.Image:
    if file.stat().st_size == 0:
        raise ValueError("it is empty")
    try:
        with Image.open(file, formats=_FORMATS) as image:
            if image.format == "PNG":  # else Pillow ignores checksums
                image.verify()
        return Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError:
        raise ValueError(
            "its content is no PNG, JPEG, BMP, TIFF, GIF or WebP, or not of 8 or 16 bits, 32-bit integers or floats"
        ) from None


def _unreadable(image: Image.Image, raw: str, pages: int) -> str:
    """Content that would be lost silently; empty if there is none."""
    if ";16" in raw and image.mode not in _GREY:
        return "holds 16 bits for each colour or beside alpha; save it as 8-bit colour or as 16-bit grey"
    told = str(_tag(image, _DESCRIPTION, ""))
    stack = re.search(r"^ImageJ=(?:.*\n)*?images=(\d+)", told)
    if (stack and int(stack.group(1)) > pages) or '"truncated": true' in told:
        return "is a stack whose pages are not listed; save it as a TIFF of ordinary pages, or each as a file"
    return ""


def _page(image: Image.Image, raw: str) -> Page:
    upright = ImageOps.exif_transpose(image)
    lossy = image.format in ("JPEG", "MPO", "WEBP")
    if image.mode in ("P", "PA"):
        upright.convert("RGBA")  # here, so that errors of a broken palette get the file name
    if image.mode not in _GREY or _alpha(image):
        return Page(upright, None, lossy)
    levels = np.asarray(upright)
    kind = _tag(image, _SAMPLES, 0)
    if image.mode == "L" and kind == 2:
        levels = levels.view(np.int8)
    elif image.mode == "I" and kind == 1 and "32" in raw:
        levels = levels.view(np.uint32)
    if image.mode not in ("1", "L") and _tag(image, _PHOTOMETRY, 1) == 0:  # WhiteIsZero, which Pillow turns in 8 bits
        levels = -levels if levels.dtype.kind == "f" else ~levels
    return Page(upright, levels, lossy, next((by for end, by in _SCALED.items() if raw.startswith(end)), 1))


def _shown(page: Page, file: Path, *, colour: bool) -> np.ndarray:
    """A page as (H, W) or (H, W, 3) float32."""
    if page.levels is not None:
        pixels = stretched(page.levels, file)
        return np.repeat(pixels[..., None], 3, axis=2) if colour else pixels
    image = page.image
    if page.alpha:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image.convert("RGBA"))
    return np.asarray(image.convert("RGB" if colour else "L"), np.float32)


def _alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _raw(image: Image.Image) -> str:
    """Pillow's name of the stored pixel format, such as `L;2` and `RGB;16B`."""
    tiles: Any = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _tag(image: Image.Image, number: int, default: _Value) -> _Value:
    """Value of a TIFF tag."""
    value = getattr(image, "tag_v2", {}).get(number, default) if image.format == "TIFF" else default
    return value[0] if isinstance(value, tuple) else value
