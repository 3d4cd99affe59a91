"""MedMNIST v2 and MedMNIST+: twelve 2-D and six 3-D sets (Yang et al. 2023, doi:10.1038/s41597-022-01721-8).

Facts about the sets (labels, licences, addresses, checksums) come from the `medmnist` package. The files are read here,
because the package neither checks an existing file nor explains why a download failed. Phantoms have the same names, so
that a demo differs only in its data set.
"""

import difflib
import hashlib
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.error import URLError

import torch

from medzoo.datamodules.images.npz import NPZDataModule
from medzoo.datamodules.in_memory import Task
from medzoo.datamodules.phantoms.images import ImagesPhantom

__all__ = ["MedMNISTDataModule", "MedMNISTPhantomDataModule"]

_TASKS: dict[str, Task] = {
    "binary-class": "binary",
    "multi-class": "multiclass",
    "ordinal-regression": "ordinal",
    "multi-label, binary-class": "multilabel",
}
log = logging.getLogger(__name__)


class MedMNISTDataModule(NPZDataModule):
    """One official MedMNIST set with its official split; batches as in `NPZDataModule`.

    Args:
        name: Such as `breastmnist` or `adrenalmnist3d`.
        size: Edge in pixels: 28, 64, 128 or 224 in 2-D; 28 or 64 in 3-D.
        root: Folder of the npz files; created if missing.
        **options: `batch_size`, `augment`, `mean`, `std`, `shuffle`, `drop_last` and `seed` of `NPZDataModule`.

    Raises:
        ValueError: If there is no such set or size.
    """

    def __init__(self, name: str, *, size: int = 28, root: str | Path = "data/medmnist", **options: Any) -> None:
        from medmnist import INFO  # takes a second, so imported late

        if name not in INFO:
            close = difflib.get_close_matches(name, INFO, n=2)
            raise ValueError(f"no MedMNIST set '{name}'; did you mean {' or '.join(close or sorted(INFO))}?")
        self._info = INFO[name]
        suffix = "" if size == 28 else f"_{size}"
        if f"MD5{suffix}" not in self._info:
            sizes = [28, *sorted(int(key[4:]) for key in self._info if key.startswith("MD5_"))]
            raise ValueError(f"{name} has no size {size}; choose datamodule.size from {sizes}")
        self._url, self._md5 = self._info[f"url{suffix}"], self._info[f"MD5{suffix}"]
        super().__init__(
            Path(root) / f"{name}{suffix}.npz",
            task=_TASKS[self._info["task"]],
            class_names=list(self._info["label"].values()),
            **options,
        )
        self._image_shape = (self._info["n_channels"], *[size] * (3 if name.endswith("3d") else 2))

    @property
    def batches_of_epoch(self) -> int:
        """Of the official training split."""
        batches = self._info["n_samples"]["train"] / self.batch_size
        return math.floor(batches) if self.drop_last else math.ceil(batches)

    def fetch(self) -> None:
        """Download the file if it is missing, and compare its checksum with the published one."""
        if not self.file.is_file():
            self._download()
        (found,) = self.store.known([self.file], "md5", _md5)
        if found != self._md5:
            raise ValueError(
                f"{self.file} is damaged or another file: its MD5 is {found}, expected {self._md5}; "
                f"delete it and run again, get it from {self._url}, or read a file of your own by datamodule=npz"
            )

    def _download(self, tries: int = 3) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        log.info("downloading %s (%s)", self._url, self._info["license"])
        for attempt in range(1, tries + 1):
            try:
                torch.hub.download_url_to_file(self._url, str(self.file))  # to a temporary name, then renamed
                return
            except (URLError, OSError) as error:
                reason = error
                if attempt < tries:
                    time.sleep(2**attempt)
        raise FileNotFoundError(
            f"could not download {self.file.name} ({reason}): put the file from {self._url} (MD5 {self._md5}) "
            f"at {self.file.resolve()}, or set datamodule.root to the folder that holds it"
        )


def _md5(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "md5").hexdigest()


class MedMNISTPhantomDataModule(NPZDataModule):
    """Phantom images (`datamodules/phantoms/images.py`); batches as in `NPZDataModule`.

    Args:
        name: The set to imitate: `breastmnist` (2-D ultrasound-like) or `adrenalmnist3d` (3-D shapes); or
            `two_signals` (2-D) or `two_signals_3d`, whose label has one sign inside a mask and one outside, and its
            variants `two_signals_outside` and `two_signals_shared`; or `lesion_or_none` (2-D).
        size: Edge in pixels.
        counts: Images in train, val and test.
        root: Folder to write to.
        phantom_seed: Seed of the cohort, independent of the seed of training.
        **options: `batch_size`, `augment`, `mean`, `std`, `shuffle`, `drop_last` and `seed` of `NPZDataModule`.
    """

    def __init__(
        self,
        name: Literal[
            "breastmnist",
            "adrenalmnist3d",
            "two_signals",
            "two_signals_outside",
            "two_signals_shared",
            "two_signals_3d",
            "lesion_or_none",
        ] = "breastmnist",
        *,
        size: int = 28,
        counts: Sequence[int] = (600, 100, 300),
        root: str | Path = "data/phantoms",
        phantom_seed: int = 0,
        **options: Any,
    ) -> None:
        made = ImagesPhantom(name, size, tuple(counts), phantom_seed)
        super().__init__(root, phantom=made, task="binary", class_names=made.class_names, **options)
        self._image_shape = made.image_shape
