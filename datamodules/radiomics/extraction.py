"""Hand-crafted radiomics of a whole data set, or of one image."""

import logging
from dataclasses import replace

import numpy as np
from rich.progress import track

from medzoo.datamodules.radiomics.colour import CHANNELS, to_grey
from medzoo.datamodules.radiomics.features.first_order import FIRST_ORDER, first_order
from medzoo.datamodules.radiomics.features.glcm import GLCM, glcm
from medzoo.datamodules.radiomics.features.ngtdm import NGTDM, ngtdm
from medzoo.datamodules.radiomics.features.shape import SHAPE_2D, SHAPE_3D, shape_2d, shape_3d
from medzoo.datamodules.radiomics.features.sized import GLDM, GLRLM, GLSZM, gldm, glrlm, glszm
from medzoo.datamodules.radiomics.masks import make_masks
from medzoo.datamodules.radiomics.neighbours import Neighbours, directions
from medzoo.datamodules.radiomics.regions import Regions, grey_levels
from medzoo.datamodules.radiomics.settings import Family, Flag, RadiomicsSettings

__all__ = ["extract", "extract_one", "feature_names"]

CELLS_AT_ONCE = 1 << 18
"""Voxels or matrix entries of one batch: few enough for the CPU cache, enough to amortise the Python overhead."""
DEEPEST = 1000
"""Maximum number of grey levels; their matrices of 13 directions then take 100 MB."""
MANY = 1000
"""A progress bar is shown from this number of images on."""

_NAMES = {"firstorder": FIRST_ORDER, "glcm": GLCM, "glrlm": GLRLM, "glszm": GLSZM, "gldm": GLDM, "ngtdm": NGTDM}
log = logging.getLogger(__name__)


def extract(
    images: np.ndarray, masks: np.ndarray | None, settings: RadiomicsSettings
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Compute radiomics of raw intensities. Do not normalise the images: bin widths are in units of the intensity.

    Args:
        images: (N, 1, *spatial), 2-D or 3-D, integers or finite floats; or (N, 3, *spatial) for red, green and blue,
            which are described as `colour.py` says.
        masks: (N, *spatial) or (N, 1, *spatial), above 0 inside; None unless `settings.mask` is `given`.
        settings: Features, masks and binning.

    Returns:
        Features (N, F) float64, F names such as `shape_MeshVolume`, and `Flag` values (N) int64. An undefined feature
        is NaN and its image is flagged; the log counts flagged images.

    Raises:
        ValueError: If images, masks and settings do not match, or an intensity is not finite.
    """
    images = _check(np.asarray(images))
    if images.shape[1] == len(CHANNELS):
        return _of_colour(images, masks, settings)
    images = images[:, 0]
    spacing = settings.spacing_of(images.ndim - 1)
    inside = make_masks(images, masks, settings.mask)
    names = feature_names(settings, images.ndim - 1)
    counts = inside.reshape(len(inside), -1).sum(1)
    features = np.full((len(images), len(names)), np.nan)
    flags = np.where(counts == 0, Flag.EMPTY, np.where(counts == 1, Flag.ONE_VOXEL, 0)).astype(np.int64)
    matrices = len(directions(images.ndim - 1)) * _depth(images, inside, settings) ** 2
    chunks = _chunks(counts, np.minimum(8 * counts, images[0].size) + matrices)
    for chunk in track(chunks, "radiomics", transient=True, disable=len(images) < MANY):
        regions = Regions.of(images[chunk], inside[chunk], spacing)
        features[chunk], flags[chunk] = _of_regions(regions, settings)
    _tell(flags)
    return features, names, flags


def _of_colour(
    images: np.ndarray, masks: np.ndarray | None, settings: RadiomicsSettings
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """`extract` of the grey images, then of each channel inside the same masks."""
    grey = to_grey(images)
    inside, given = make_masks(grey, masks, settings.mask), replace(settings, mask="given")
    features, names, flags = extract(grey[:, None], inside, given)
    for channel, name in enumerate(CHANNELS if "firstorder" in settings.families else ()):
        values, own, found = extract(images[:, [channel]], inside, replace(given, families=("firstorder",)))
        features, flags = np.concatenate([features, values], 1), flags | found
        names += [f"{name}_{each}" for each in own]
    return features, names, flags


def extract_one(
    image: np.ndarray, mask: np.ndarray | None, settings: RadiomicsSettings
) -> tuple[dict[str, float], Flag]:
    """Radiomics of one image (*spatial) with its mask (*spatial) or None, as values by name; see `extract`."""
    features, names, flags = extract(
        np.asarray(image)[None, None], None if mask is None else np.asarray(mask)[None], settings
    )
    return dict(zip(names, features[0].tolist(), strict=True)), Flag(int(flags[0]))


def feature_names(settings: RadiomicsSettings, spatial_dims: int, channels: int = 1) -> list[str]:
    """Names of the features in order; they are pyradiomics' names without the prefix `original_`.

    With three channels, first-order features of each follow as `red_firstorder_Mean`.
    """
    shape = ("shape", SHAPE_3D) if spatial_dims == 3 else ("shape2D", SHAPE_2D)
    named = [shape if family == "shape" else (family, _NAMES[family]) for family in settings.families]
    grey = [f"{family}_{name}" for family, names in named for name in names]
    coloured = CHANNELS if channels == len(CHANNELS) and "firstorder" in settings.families else ()
    return grey + [f"{channel}_firstorder_{name}" for channel in coloured for name in FIRST_ORDER]


def _check(images: np.ndarray) -> np.ndarray:
    """Check images (N, 1 or 3, *spatial)."""
    if images.ndim not in (4, 5) or images.shape[1] not in (1, len(CHANNELS)) or not images.size:
        raise ValueError(
            f"images of shape {images.shape}: radiomics describe one channel or red, green and blue, "
            "(N, 1, H, W), (N, 1, D, H, W) or (N, 3, H, W)"
        )
    if not np.issubdtype(images.dtype, np.number) or not np.isfinite(images).all():
        raise ValueError(f"images of type {images.dtype} hold values that are not finite numbers")
    return images


def _chunks(counts: np.ndarray, cells: np.ndarray) -> list[np.ndarray]:
    """Indices of images with masks of two voxels or more, grouped by similar mask size."""
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 1]
    chunk = cells[order].cumsum() // CELLS_AT_ONCE
    return [part for part in np.split(order, np.flatnonzero(np.diff(chunk)) + 1) if len(part)]


def _depth(images: np.ndarray, inside: np.ndarray, settings: RadiomicsSettings) -> int:
    """Upper bound of the number of grey levels of an image; 0 if no matrix of grey levels is needed."""
    if not {"glcm", "ngtdm"} & set(settings.families) or not inside.any():
        return 0
    values = images[inside]
    span = float(values.max()) - float(values.min())
    depth = settings.bin_count or int(span / settings.bin_width) + 2
    if depth > DEEPEST:
        raise ValueError(
            f"intensities from {values.min():g} to {values.max():g} make {depth} grey levels of "
            f"bin_width={settings.bin_width:g}, and texture allows {DEEPEST}: widen it, or set bin_count"
        )
    return depth


def _of_regions(regions: Regions, settings: RadiomicsSettings) -> tuple[np.ndarray, np.ndarray]:
    """(N, F) features and (N,) flags."""
    levels = grey_levels(regions, settings)
    starts = regions.counts.cumsum() - regions.counts
    deepest = np.maximum.reduceat(levels, starts)
    neighbours = Neighbours(regions, levels)

    def family(name: Family) -> np.ndarray:
        if name == "shape":
            return (shape_3d if regions.dims == 3 else shape_2d)(regions, settings.definition)
        if name == "firstorder":
            return first_order(regions, levels, settings)
        if name == "glcm":
            return glcm(neighbours, deepest)
        if name == "ngtdm":
            return ngtdm(neighbours, settings.definition)
        return {"glrlm": glrlm, "glszm": glszm, "gldm": gldm}[name](neighbours)

    features = np.concatenate([family(name) for name in settings.families], axis=1)
    flags = np.where(np.minimum.reduceat(levels, starts) == deepest, Flag.ONE_LEVEL, 0)
    low, high = (of.reduceat(regions.values, starts) for of in (np.minimum, np.maximum))
    flags = flags | np.where(low == high, Flag.CONSTANT, 0)
    undefined = (flags == 0) & np.isnan(features).any(1)
    return features, flags | np.where(undefined, Flag.UNDEFINED, 0)


def _tell(flags: np.ndarray) -> None:
    """Log in one line which features could not be computed."""
    found = [f"{int(((flags & flag) > 0).sum())} {str(flag.name).lower()}" for flag in Flag if (flags & flag).any()]
    if found:
        log.warning("radiomics: of %d masks %s; their features are partly or wholly NaN", len(flags), ", ".join(found))
