"""Read and measure one image for a check."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter

from medzoo.datamodules import io
from medzoo.datamodules.check.listing import Findings, Item, Listing
from medzoo.datamodules.io.arrays import npz_keys, read_npy, read_npz
from medzoo.datamodules.io.pictures.labels import read_label_picture
from medzoo.datamodules.io.pictures.pages import PICTURES, Page, stored_pages
from medzoo.datamodules.readers import ENDINGS

__all__ = ["STATISTICS", "Facts", "measure", "thumbnail"]

STATISTICS = ("min", "1%", "median", "99%", "max")
_SAMPLE = 1_000_000  # voxels that percentiles are of
_SIDE = {2: 32, 3: 16}  # of thumbnails, by axes
_COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class Facts:
    """Measurements of an image.

    Attributes:
        kind: Kind of its first file, such as `png, 8-bit grey`.
        size: Pixels or voxels, z first.
        spacing: Spacing in mm, z first; None for pictures and arrays.
        grey: `STATISTICS` by channel.
        digest: SHA-256 of shape and values.
        thumbnail: `thumbnail` of its first channel.
        labels: Voxels of its mask by label value; None without a mask.
        voxel_ml: Volume of a voxel in mL, for volumes.
    """

    kind: str
    size: tuple[int, ...]
    spacing: tuple[float, ...] | None
    grey: dict[str, tuple[float, ...]]
    digest: str
    thumbnail: np.ndarray
    labels: np.ndarray | None = None
    voxel_ml: float = 0.0


@dataclass(frozen=True)
class _Image:
    """Channels (C, *spatial) of a file, with their names."""

    kind: str
    channels: np.ndarray
    names: tuple[str, ...]
    grid: io.Grid | None = None


def measure(item: Item, listing: Listing) -> Facts:
    """Read an image and its mask, and report what does not match.

    Raises:
        ValueError: If the image cannot be read.
    """
    findings, hashed = listing.findings, hashlib.sha256()
    grey: dict[str, tuple[float, ...]] = {}
    first: _Image | None = None
    for number, file in enumerate(item.files):
        image = _read(file)
        first = first or image
        _check(image, file, findings, ct=number == 0 and listing.channels[:1] in (("CT",), ("ct",)))
        if first.grid and image.grid and first is not image:
            _tell_grid(file, image.grid, item.files[0], first.grid, findings)
        for name, channel in zip(image.names, image.channels, strict=True):
            grey[listing.channels[number] if listing.channels and len(image.names) == 1 else name] = _statistics(
                channel
            )
        hashed.update(f"{image.channels.shape} {image.channels.dtype}".encode())
        hashed.update(np.ascontiguousarray(image.channels).data)
    assert first is not None
    size, grid = first.channels.shape[1:], first.grid
    spacing = grid.spacing if grid else None
    shown = first.channels[0] if len(first.channels) == 1 else first.channels.mean(0)
    labels = None if item.mask is None else _labels(item.mask, item.files[0], first, listing)
    ml = float(np.prod(spacing)) / 1000 if spacing else 0.0
    return Facts(first.kind, size, spacing, grey, hashed.hexdigest(), thumbnail(shown), labels, ml)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Thumbnail of a picture (32 x 32) or a volume (16 x 16 x 16), to be compared by correlation.

    The mean over five pixels is subtracted, so that two heads are not alike just because both are heads; the result has
    mean 0 and length 1, or is 0 if nothing is left.

    Args:
        image: (H, W) or (z, y, x).

    Returns:
        (1024,) or (4096,) float16.
    """
    small = image.squeeze() if 1 in image.shape else image
    side = _SIDE.get(small.ndim, 1)
    for count in small.shape:  # mean of the pixels that lie in each cell, in part or whole
        edges, pixels = np.linspace(0, count, side + 1)[:, None], np.arange(count)
        inside = np.clip(np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels), 0, None)
        small = np.tensordot(small, (inside * side / count).astype(np.float32), ((0,), (1,)))
    detail = small - uniform_filter(small, 5, mode="nearest")
    detail -= detail.mean()
    length = np.linalg.norm(detail)
    return (detail / length if length > 1e-5 * np.abs(small).max() else 0 * detail).ravel().astype(np.float16)


def _read(file: Path) -> _Image:
    ending = max((end for end in ENDINGS if file.name.lower().endswith(end)), key=len, default="")
    if not ending:
        raise ValueError(f"{file}: no image; expected a name ending in {', '.join(ENDINGS)}")
    word = ending[1:]
    if ending in PICTURES:
        pages = stored_pages(file)
        arrays, kinds = zip(*map(_channels_of, pages), strict=True)
        told = f", {len(pages)} pages" * (len(pages) > 1)
        if len({array.shape for array in arrays}) > 1:
            raise ValueError(f"{file}: its {len(pages)} pages have different sizes; save each as a file of its own")
        channels = np.stack(arrays, 1) if len(pages) > 1 else arrays[0]
        return _Image(f"{word}, {kinds[0]}{told}", channels, _COLOURS if len(channels) == 3 else ("grey",))
    if ending in io.VOLUMES:
        volume = io.read_volume(file)
        return _Image(f"{word}, {volume.array.dtype}", volume.array[None], ("intensity",), volume.grid)
    keys = npz_keys(file) if ending == ".npz" else []
    key = next((key for key in ("images", "test_images") if key in keys), None)
    if ending == ".npz" and key is None:
        raise ValueError(f"{file}: holds {', '.join(keys)}; expected 'images'; rename the array, or move the file away")
    array = read_npz(file, key) if key else read_npy(file)
    if array.ndim not in (2, 3) or array.dtype.kind not in "biuf":
        raise ValueError(f"{file}: an array {array.shape} of {array.dtype}; a check takes numbers of 2 or 3 axes")
    return _Image(f"{word}, {array.dtype}", array[None], ("intensity",))


def _channels_of(page: Page) -> tuple[np.ndarray, str]:
    """A page as (1 or 3, H, W), with one channel if all colours are grey, and its kind."""
    if page.levels is not None:
        levels = page.levels
        kind = {"b": "1-bit", "f": "32-bit float"}.get(levels.dtype.kind, f"{8 * levels.dtype.itemsize}-bit")
        return (levels.astype(np.uint8) if levels.dtype == bool else levels)[None], f"{kind} grey"
    colours = np.moveaxis(np.asarray(page.image.convert("RGB")), -1, 0)
    kind = ("palette" if page.image.mode == "P" else "8-bit colour") + " with alpha" * page.alpha
    if (colours == colours[:1]).all():
        return colours[:1], f"{kind}, all of it grey"
    return colours, kind


def _check(image: _Image, file: Path, findings: Findings, *, ct: bool) -> None:
    values = image.channels
    if not values.size or (values.dtype.kind == "f" and not np.isfinite(values).all()):
        raise ValueError(f"{file}: holds no values, or NaN or infinite ones; replace them, or leave it out")
    if (values == values.reshape(len(values), -1)[:, 0].reshape(-1, *[1] * (values.ndim - 1))).all():
        findings.fault("constant", f"{file}: all of it is {values.flat[0]:g}; leave it out, or export it again")
    elif ct and image.grid:
        try:
            io.check_offset(values[0], file)
        except ValueError as error:
            findings.fault("no HU", str(error))


def _statistics(channel: np.ndarray) -> tuple[float, ...]:
    flat = channel.reshape(-1)
    drawn = flat if flat.size <= _SAMPLE else flat[np.random.default_rng(0).integers(0, flat.size, _SAMPLE)]
    return float(flat.min()), *map(float, np.percentile(drawn, [1, 50, 99])), float(flat.max())


def _tell_grid(file: Path, grid: io.Grid, other_file: Path, other: io.Grid, findings: Findings) -> None:
    try:
        io.check_same_grid(file, grid, other_file, other)
    except ValueError as error:
        findings.fault("grid", str(error))


def _labels(file: Path, of: Path, image: _Image, listing: Listing) -> np.ndarray | None:
    """Voxels by label value; reports faults of the mask."""
    findings, known = listing.findings, {value for values in listing.values.values() for value in values}
    try:
        if image.grid:
            mask = io.read_mask(file)
            _tell_grid(file, mask.grid, of, image.grid, findings)
            array = mask.array
        else:
            array = read_label_picture(file, max(known, default=1) + 1, listing.colours)
            if array.shape != image.channels.shape[1:]:
                sizes = " x ".join(map(str, array.shape)), " x ".join(map(str, image.channels.shape[1:]))
                findings.fault("grid", f"{file}: {sizes[0]} pixels, but {of.name} has {sizes[1]}; resample one")
    except ValueError as error:
        findings.fault("mask", str(error))
        return None
    counts = np.bincount(array.ravel())
    if known and (strange := sorted({*np.flatnonzero(counts).tolist()} - known)):
        told = (
            f"holds label {', '.join(map(str, strange[:5]))}, which nothing names; name it in the labels, or correct it"
        )
        findings.fault("label", f"{file}: {told}")
    return counts
