"""Write a synthetic cohort to disk: complete or not at all, once, with several processes."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from medzoo.datamodules import io
from medzoo.datamodules.phantoms.phantom import Phantom

__all__ = ["appearing", "is_there", "pool", "write_pictures", "write_table"]


def is_there(root: Path, record: dict[str, Any]) -> bool:
    """Whether the cohort with this record is already complete.

    Raises:
        FileExistsError: If `root` holds something else.
    """
    mark = root / "phantom.json"
    if mark.is_file() and json.loads(mark.read_text()) == record:
        return True
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} holds something else than this cohort; choose another root, or delete it")
    return False


@contextmanager
def appearing(root: Path) -> Iterator[Path]:
    """A temporary folder beside `root` that becomes `root` on success and is deleted on failure."""
    root.parent.mkdir(parents=True, exist_ok=True)
    folder = root.with_name(f".{root.name}.{os.getpid()}.partial")
    try:
        folder.mkdir()
        yield folder
        if root.is_dir():
            root.rmdir()  # empty, or `is_there` would have refused
        folder.rename(root)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def pool(workers: int) -> Iterator[Any]:
    """`map` over `workers` processes; with one worker, the built-in `map`."""
    if workers == 1:
        yield map
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=4)


def write_table(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows with the same keys as a CSV."""
    rows = list(rows)
    io.write_table(file, rows[0], rows)


def write_pictures(root: Path, cohort: Phantom, ct: str, mask: str, window: tuple[float, float]) -> None:
    """Write a cohort beside `root`, and its slices with a non-empty mask as PNG into `root`, unless `root` exists.

    Args:
        root: Gets `images/<patient>_<slice>.png` and `masks/` with the same names, white where the mask is above 0,
            in radiological view: front up, the patient's right on the left.
        cohort: The cohort whose CT is sliced.
        ct: Glob pattern of the scans; its last `*` is the patient.
        mask: File name of the mask beside each scan.
        window: HU shown as black and as white.
    """
    if root.is_dir():
        return
    source = root.parent / cohort.name
    patient = max(place for place, part in enumerate(Path(ct).parts) if part == "*")
    cohort.write(source)
    with appearing(root) as folder:
        for name in ("images", "masks"):
            (folder / name).mkdir()
        for file in sorted(source.glob(ct)):
            image, shown = (
                np.asarray(nib.Nifti1Image.from_filename(each).dataobj).T for each in (file, file.with_name(mask))
            )
            grey = (np.clip(image, *window) - window[0]) * (255 / (window[1] - window[0]))
            for number in np.flatnonzero(shown.any((1, 2))):
                name = f"{file.relative_to(source).parts[patient]}_{number:02d}.png"
                for kind, pixels in (("images", grey[number].round()), ("masks", 255 * (shown[number] > 0))):
                    Image.fromarray(pixels[::-1, ::-1].astype(np.uint8)).save(folder / kind / name)
