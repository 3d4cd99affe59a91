"""Hand-crafted radiomics of whole data sets, by the zoo and by pyradiomics 3.0.1 on the same images and masks.

On BreastMNIST, the mask is where the image is darker than its Otsu threshold, as lesions are; AdrenalMNIST3D holds
shapes, which are their own masks. The features are size, shape and first-order statistics (27 in 2-D, 32 in 3-D), and
in 2-D also all texture features (102). Both sides start from arrays in memory with masks already made. pyradiomics runs
as in its documentation, with one extractor and one call per image, without its diagnostics, on 32-bit intensities (with
8 bits its bin edges overflow), in a process of its own. The zoo's time is the median of five runs, three before and two
after pyradiomics; both sides use one thread. The features of all images are compared, except those of constant images
that divide zero by zero.

The peer needs Python 3.11 or older and no build isolation. Set the environment variable `MEDZOO_PYRADIOMICS` to the
interpreter of an environment that has it:

    python3.11 -m venv pyradiomics && pyradiomics/bin/pip install numpy setuptools wheel
    pyradiomics/bin/pip install --no-build-isolation pyradiomics==3.0.1
    MEDZOO_PYRADIOMICS=pyradiomics/bin/python python -m benchmarks.run radiomics

Files are read from `$MEDZOO_REAL_DATA/medmnist`, else from `../shared/data/medmnist` next to the checkout. If there are
none, phantoms of the official size and counts are used.
"""

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.data.loading import medmnist_root
from benchmarks.tables.row import Row, print_rows
from medzoo.datamodules.radiomics import RadiomicsSettings, extract
from medzoo.datamodules.radiomics.masks import make_masks
from medzoo.datamodules.radiomics.settings import Family, MaskPolicy
from medzoo.datamodules.seen import SPLITS

__all__ = ["run"]

PEER = "MEDZOO_PYRADIOMICS"
RECIPE = (
    "in an environment of Python 3.11, pip install numpy setuptools wheel, then --no-build-isolation pyradiomics==3.0.1"
)
BASIC: tuple[Family, ...] = ("shape", "firstorder")
TEXTURE: tuple[Family, ...] = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")
CASES: tuple[tuple[str, MaskPolicy, tuple[Family, ...], float], ...] = (
    ("breastmnist", "otsu_dark", BASIC, 20.0),
    ("breastmnist", "otsu_dark", BASIC + TEXTURE, 20.0),
    ("adrenalmnist3d", "nonzero", BASIC, 5.0),
)


def run(*, images: int | None = None) -> list[Row]:
    """Measure every case.

    Args:
        images: Maximum number of images per set; all if none.

    Returns:
        One row for each case, in images/s.
    """
    python = _peer_python()
    log = logging.getLogger("medzoo.datamodules.radiomics")
    log.setLevel(logging.ERROR)  # hides the warning about constant shapes, repeated in every run
    try:
        with tempfile.TemporaryDirectory() as folder:
            return [_compare(*case, python, Path(folder), images) for case in CASES]
    finally:
        log.setLevel(logging.NOTSET)


def _compare(
    name: str,
    policy: MaskPolicy,
    families: tuple[Family, ...],
    goal: float,
    python: str,
    folder: Path,
    count: int | None,
) -> Row:
    with np.load(medmnist_root(name, folder) / f"{name}.npz") as file:
        images = np.concatenate([file[f"{split}_images"] for split in SPLITS])[:count]
    masks, settings = make_masks(images, None, policy), RadiomicsSettings("given", families)
    features, names, flags = extract(images[:, None], masks, settings)  # also the warm-up
    seconds = [_seconds(images, masks, settings) for _ in range(3)]
    peer = _peer(python, folder, images, masks, families)
    seconds += [_seconds(images, masks, settings) for _ in range(2)]
    ours, theirs = statistics.median(seconds), float(peer["seconds"])
    difference = _largest_difference(features, names, flags, peer)
    return Row(
        case=f"{name}, {len(images)} images, {len(names)} features",
        unit="images/s",
        zoo=len(images) / ours,
        peer=len(images) / theirs,
        goal=goal,
        remark=f"{1000 * ours / len(images):.3g} and {1000 * theirs / len(images):.3g} ms an image; "
        f"largest relative difference {difference:.0e}; pyradiomics {peer['version']}",
    )


def _seconds(images: np.ndarray, masks: np.ndarray, settings: RadiomicsSettings) -> float:
    start = time.perf_counter()
    with threadpool_limits(1):
        extract(images[:, None], masks, settings)
    return time.perf_counter() - start


def _peer(
    python: str, folder: Path, images: np.ndarray, masks: np.ndarray, families: tuple[Family, ...]
) -> Mapping[str, np.ndarray]:
    """The output of `radiomics_peer.py`; `-I` keeps this file from shadowing the package `radiomics`."""
    given, found = folder / "given.npz", folder / "found.npz"
    np.savez(given, images=images, masks=masks, families=np.array(families), spacing=np.ones(images.ndim - 1))
    script = Path(__file__).with_name("radiomics_peer.py")
    threads = {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    subprocess.run([python, "-I", script, given, found], env={**os.environ, **threads}, check=True)
    with np.load(found) as file:
        return dict(file)


def _largest_difference(features: np.ndarray, names: list[str], flags: np.ndarray, peer: Mapping) -> float:
    """Largest relative difference of values above a millionth; a missing value needs a flagged image."""
    order = [peer["names"].tolist().index(name) for name in names]
    theirs = peer["features"][:, order]
    missing = np.isnan(features) & (flags > 0)[:, None]
    difference = np.abs(features - theirs) / np.maximum(np.abs(theirs), 1e-6)
    largest = float(difference[~missing].max())
    assert largest < 1e-6, "zoo and pyradiomics give different features"
    return largest


def _peer_python() -> str:
    """An interpreter that can import pyradiomics."""
    python = os.environ.get(PEER, sys.executable)
    found = subprocess.run([python, "-I", "-c", "import radiomics"], capture_output=True)
    if found.returncode:
        raise SystemExit(f"{python} has no pyradiomics: {RECIPE}, and set {PEER} to its interpreter")
    return python


if __name__ == "__main__":
    print_rows("radiomics", run())
