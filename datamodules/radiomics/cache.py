"""Cache radiomics in a file beside the data, for each choice of settings."""

import hashlib
import logging
from pathlib import Path

import numpy as np

from medzoo.datamodules.io.arrays import read_npz
from medzoo.datamodules.radiomics.extraction import extract
from medzoo.datamodules.radiomics.settings import RadiomicsSettings
from medzoo.files import replacing

__all__ = ["cache_file", "extract_cached"]

REVISION = "1"
"""Raise this number when the value of a feature changes; every older cache file is then computed again."""
Extracted = tuple[np.ndarray, list[str], np.ndarray]
log = logging.getLogger(__name__)


def extract_cached(
    data: str | Path, split: str, images: np.ndarray, masks: np.ndarray | None, settings: RadiomicsSettings
) -> Extracted:
    """`extract` with a cache: read the features from `cache_file` if it matches, else compute and write them.

    A cache of other images, masks or settings, or a damaged one, is replaced. If it cannot be written, a warning is
    logged and the features are still returned.

    Args:
        data: Image file, named after data set and size, such as `breastmnist_64.npz`.
        split: Split of the images, such as `train`.
        images: As for `extract`.
        masks: As for `extract`.
        settings: As for `extract`.

    Returns:
        Features, names and flags, as from `extract`.
    """
    file = cache_file(data, split, settings)
    stamp = _stamp(images, masks, settings)
    kept = _read(file, stamp)
    if kept is None:
        kept = extract(images, masks, settings)
        _write(file, stamp, kept)
    return kept


def cache_file(data: str | Path, split: str, settings: RadiomicsSettings) -> Path:
    """Path of the cache: `<data>_<split>.radiomics-<settings>.npz` in the folder of the data."""
    data = Path(data)
    return data.with_name(f"{data.stem}_{split}.radiomics-{settings.digest()}.npz")


def _stamp(images: np.ndarray, masks: np.ndarray | None, settings: RadiomicsSettings) -> str:
    """Digest of the images, masks and settings that the features depend on."""
    digest = hashlib.sha256(f"{REVISION} {settings.as_json()}".encode())
    for array in (images, masks):
        if array is not None:
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read(file: Path, stamp: str) -> Extracted | None:
    if not file.is_file():
        return None
    try:
        if str(read_npz(file, "stamp")) == stamp:
            return read_npz(file, "features"), read_npz(file, "names").tolist(), read_npz(file, "flags")
        log.info("%s: of other images, masks or settings; computed again", file)
    except ValueError as error:
        log.warning("%s: damaged (%s); computed again", file, error)
    return None


def _write(file: Path, stamp: str, extracted: Extracted) -> None:
    """Write the cache in one step; several processes may write it at once."""
    features, names, flags = extracted
    try:
        with replacing(file) as partial:
            np.savez(partial, stamp=np.array(stamp), features=features, names=np.array(names), flags=flags)
    except OSError as error:
        log.warning("radiomics are not kept in %s: %s", file, error)
