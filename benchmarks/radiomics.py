"""Hand-crafted radiomics of whole data sets, beside pyradiomics 3.0.1 on the same images and masks.

BreastMNIST is masked by what is darker than Otsu's threshold of each image, where lesions are; AdrenalMNIST3D
holds shapes, which are their own masks. The features are size, shape and first-order statistics (27 in 2-D, 32 in
3-D), and in 2-D also all features of texture (102). Both sides start from arrays in memory with masks already
made. pyradiomics runs as its documentation does it, one extractor and one call for each image, without its
diagnostics, on 32-bit intensities (with 8 bits its bin edges overflow), in a process of its own. The zoo's time is
the median of five runs, three of them before and two after that of pyradiomics; both sides have one thread.
Features of all images are compared; of constant images, those that divide zero by zero are left out.

The peer needs Python 3.11 or older and no build isolation; it is found by the environment variable
`MEDZOO_PYRADIOMICS`, the interpreter of an environment that has it:

    python3.11 -m venv pyradiomics && pyradiomics/bin/pip install numpy setuptools wheel
    pyradiomics/bin/pip install --no-build-isolation pyradiomics==3.0.1
    MEDZOO_PYRADIOMICS=pyradiomics/bin/python python -m benchmarks.run radiomics

Files are looked for in `$MEDZOO_REAL_DATA/medmnist`, then in `../shared/data/medmnist` beside the checkout. Where
there are none, phantoms of the official size and counts stand in.
"""

# ruff: noqa: E402 (where imports start is settled between them)

import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if not __package__:  # python benchmarks/radiomics.py: imports start at the repository, not at this folder
    sys.path[0] = str(ROOT)

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.loading import medmnist_root
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
        images: At most how many of each set; all where none is given.

    Returns:
        One row for each case, in images/s.
    """
    python = _peer_python()
    log = logging.getLogger("medzoo.datamodules.radiomics")
    log.setLevel(logging.ERROR)  # not that shapes are constant, for every run
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
    """What `radiomics_peer.py` writes; `-I` keeps this file from being taken for its package of the same name."""
    given, found = folder / "given.npz", folder / "found.npz"
    np.savez(given, images=images, masks=masks, families=np.array(families), spacing=np.ones(images.ndim - 1))
    script = Path(__file__).with_name("radiomics_peer.py")
    threads = {"OMP_NUM_THREADS": "1", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1"}
    subprocess.run([python, "-I", script, given, found], env={**os.environ, **threads}, check=True)
    with np.load(found) as file:
        return dict(file)


def _largest_difference(features: np.ndarray, names: list[str], flags: np.ndarray, peer: Mapping) -> float:
    """Relative, of values above a millionth; where there is none, the image must be flagged."""
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
