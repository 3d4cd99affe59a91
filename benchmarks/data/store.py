"""Size on disk and speed of patches of a head CT in the store, beside other ways to keep it.

The zoo keeps 16 bits between the bounds of the intensities, compressed in blocks by Blosc2. The peers keep float32: as
`.npy` that is mapped, and compressed by Blosc2 with the blocks of nnU-Net 2.6 for this patch. Each side cuts the same
100 patches of 16 x 320 x 320 voxels at random places, as normalised float32, from a synthetic CT of 30 x 512 x 512
voxels with noise; the patches are compared. Times are CPU seconds on one thread, with the file in the page cache.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import blosc2
import numpy as np

from benchmarks.data.full_size.head_ct import head_ct
from benchmarks.tables.row import Row, print_rows
from medzoo.datamodules.segmentation.cases import Case, CaseReading, Intensities, prepare_case
from medzoo.datamodules.segmentation.files import CaseFiles
from medzoo.datamodules.store import Entry
from medzoo.datamodules.store.entry import write_entry

__all__ = ["run"]

PATCH = (16, 320, 320)
WINDOW = Intensities(0.0, 80.0, 38.0, 12.0)  # HU of brain and bleed, as measured in a cohort
NNUNET_BLOCKS = (1, 8, 64, 64)

Cut = Callable[[tuple[int, ...]], np.ndarray]


def run(*, patches: int = 100) -> list[Row]:
    """Measure all ways.

    Args:
        patches: Patches that each side cuts.

    Returns:
        Two rows for each peer: MB on disk, and CPU milliseconds for a patch.
    """
    ct, bleed = head_ct(0)
    how = CaseReading(2, (5.0, 0.45, 0.45), (WINDOW.bounds,), ct=True)
    made = prepare_case(ct[None].astype(np.float32), bleed, how.spacing, how)
    whole = ((np.clip(ct, *WINDOW.bounds) - WINDOW.mean) / WINDOW.std).astype(np.float32)[None]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_entry(folder / "entry", made)
        entry = Entry(folder / "entry")
        case = Case.of(CaseFiles("a", ()), {**entry.arrays}, entry.facts, [WINDOW])
        ours = entry["levels"].file, lambda corner: case.cut(corner, PATCH)
        rows = []
        for title, (file, cut) in {"mapped .npy": _mapped(folder, whole), "Blosc2": _blosc2(folder, whole)}.items():
            mine, theirs = _compared(ours[1], cut, patches)
            size = tuple(each.stat().st_size / 1e6 for each in (ours[0], file))
            remark = "equal patches to half a level; augmenting one takes about 90 ms"
            rows += [
                Row(f"beside float32 as {title}: disk", "MB", *size, higher_is_better=False),
                Row(f"beside float32 as {title}: patch", "CPU ms", mine, theirs, higher_is_better=False, remark=remark),
            ]
    return rows


def _mapped(folder: Path, whole: np.ndarray) -> tuple[Path, Cut]:
    file = folder / "whole.npy"
    np.save(file, whole)
    return file, lambda corner: np.array(np.load(file, mmap_mode="r")[_place(corner)])


def _blosc2(folder: Path, whole: np.ndarray) -> tuple[Path, Cut]:
    file = folder / "whole.b2nd"
    parameters = {"codec": blosc2.Codec.ZSTD, "clevel": 8, "nthreads": 1}
    blosc2.asarray(whole, urlpath=str(file), chunks=(1, *PATCH), blocks=NNUNET_BLOCKS, cparams=parameters)
    return file, lambda corner: np.asarray(
        blosc2.open(str(file), mode="r", mmap_mode="r", dparams={"nthreads": 1})[_place(corner)]
    )


def _place(corner: tuple[int, ...]) -> tuple[slice, ...]:
    return (slice(None), *(slice(at, at + side) for at, side in zip(corner, PATCH, strict=True)))


def _compared(ours: Cut, theirs: Cut, patches: int) -> tuple[float, float]:
    """Milliseconds for a patch of both, which take turns."""
    rng, spent = np.random.default_rng(0), [0.0, 0.0]
    for number in range(patches + 5):
        corner = tuple(int(rng.integers(n - side + 1)) for n, side in zip((30, 512, 512), PATCH, strict=True))
        found = []
        for side, cut in enumerate((ours, theirs)):
            began = time.process_time()
            found.append(cut(corner))
            spent[side] += (time.process_time() - began) * (number >= 5)  # the first fill caches
        half_a_level = (WINDOW.high - WINDOW.low) / 65535 / 2 / WINDOW.std
        np.testing.assert_allclose(*found, rtol=0, atol=1.1 * half_a_level)
    return 1000 * spent[0] / patches, 1000 * spent[1] / patches


if __name__ == "__main__":
    print_rows("store", run())
