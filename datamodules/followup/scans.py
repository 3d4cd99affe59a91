"""Both scans of a patient as arrays for a network, with what is known of their slices."""

from pathlib import Path

import numpy as np

from medzoo.datamodules.followup.files import Scan, read_scan
from medzoo.datamodules.io import check_same_grid
from medzoo.datamodules.skull import bone_share
from medzoo.datamodules.store import Made

__all__ = ["HU_WINDOW", "TIMES", "make_scans"]

HU_WINDOW = (0.0, 100.0)
TIMES = ("baseline", "followup")


def make_scans(folder: Path, image_size: int) -> Made:
    """Read the `baseline` of a patient and the `followup`, if there is one, as images of H = W = `image_size`.

    Returns:
        Arrays by time, (Z, 3, H, W) uint8: CT from 0 to 100 HU in steps of 0.4 HU, a tenth of its noise, then IPH and
        IVH, 0 or 255; plain, since batches read single slices at random, which compressed blocks would slow down.
        Facts: `shape` and `affine` of the baseline's file; by time `holds`, (Z, 3) whether a slice has brain, IPH and
        IVH, and `iph_ml`; `bone`, share of bone at baseline.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If a file is invalid, or the follow-up is not on the baseline's grid.
    """
    scans = {TIMES[0]: read_scan(folder / TIMES[0], image_size, need_iph=True)}
    grid = scans[TIMES[0]].grid
    if (folder / TIMES[1]).is_dir():
        scans[TIMES[1]] = read_scan(folder / TIMES[1], image_size, need_iph=False)
        try:
            check_same_grid(folder / TIMES[1], scans[TIMES[1]].grid, folder / TIMES[0], grid)
        except ValueError as error:
            told = "not on the grid of the baseline; prepare.py registers the two"
            raise ValueError(f"{folder}/followup: {told}") from error
    arrays = {time: _to_uint8(scan) for time, scan in scans.items()}
    facts = {
        "shape": grid.file_shape,
        "affine": grid.file_affine.tolist(),
        "holds": {time: array.any(axis=(2, 3)).tolist() for time, array in arrays.items()},
        "iph_ml": {time: float(s.iph.sum() * np.prod(s.grid.spacing[::-1]) / 1000) for time, s in scans.items()},
        "bone": bone_share(arrays[TIMES[0]][::4, 0], 255),  # CT is cut at 100 HU; every fourth slice is enough
    }
    return Made(arrays, facts)


def _to_uint8(scan: Scan) -> np.ndarray:
    low, high = HU_WINDOW
    ct = np.clip((scan.ct - low) / (high - low), 0, 1) * 255
    return np.stack([ct.round().astype(np.uint8), scan.iph * np.uint8(255), scan.ivh * np.uint8(255)], axis=1)
