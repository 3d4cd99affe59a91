"""Training batches from the zoo's datamodule and from `medmnist`'s own Dataset class in a torch DataLoader.

Both shuffle one official training split and normalise it with mean = std = 0.5, without augmentation. The peer is set
up as in its documentation (torchvision's ToTensor and Normalize in 2-D, an array to float32 in 3-D), once without
workers and once with two that persist between epochs. After a warm-up epoch, in which all sides must give the same
images and labels, epochs alternate, and their medians are compared. Nothing is computed on the batches: this is what a
loader can supply, and a slow network would ask for less.

Then augmented patches of volumes (`benchmarks/patches/`): CPU time beside MONAI's own loader and transforms,
and beside the transforms of nnU-Net where batchgeneratorsv2 is installed, else without this row; the rate of two worker
processes beside that of one; and the share of waiting with more workers, by a simulation of the queue.

Files are read from `$MEDZOO_REAL_DATA/medmnist`, else from `../shared/data/medmnist` next to the checkout. If there are
none, phantoms of the official size and counts are used.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import medmnist
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.transforms import Compose, Normalize, ToTensor

from benchmarks import ROOT
from benchmarks.data import patches
from benchmarks.tables.row import Row, print_rows
from medzoo.datamodules import MedMNISTDataModule, MedMNISTPhantomDataModule

__all__ = ["medmnist_root", "run"]

BATCH_SIZE = {"breastmnist": 128, "adrenalmnist3d": 32}  # batch sizes of the MedMNIST protocol
GOAL = {"breastmnist": 20.0}


def run(
    *,
    names: Sequence[str] = tuple(BATCH_SIZE),
    workers: Sequence[int] = (0, 2),
    epochs: int = 10,
    with_patches: bool = True,
) -> list[Row]:
    """Compare each data set with the peer, for each number of workers.

    Args:
        names: `breastmnist`, `adrenalmnist3d`.
        workers: Worker processes of the peer's DataLoader.
        epochs: Timed epochs per side.
        with_patches: Whether to add the rows of patches.

    Returns:
        One row for each set and number of workers, in batches/s, and those of patches.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sets = [_compare(name, medmnist_root(name, folder), count, epochs) for name in names for count in workers]
        return sets + (patches.rows(folder) if with_patches else [])


def _compare(name: str, root: Path, workers: int, epochs: int) -> Row:
    datamodule = MedMNISTDataModule(name, root=root, batch_size=BATCH_SIZE[name])
    datamodule.setup()
    zoo, peer = datamodule.train_dataloader(), _peer(name, root, workers)
    _check_equal(zoo, peer)  # also the warm-up
    seconds = [(_seconds(zoo), _seconds(peer)) for _ in range(epochs)]
    ours, theirs = map(statistics.median, zip(*seconds, strict=True))
    images = len(zoo.images)
    origin = "real files" if root in _real_roots() else "phantoms"
    return Row(
        case=f"{name} ({origin}), batch {BATCH_SIZE[name]}, {workers} workers",
        unit="batches/s",
        zoo=len(zoo) / ours,
        peer=len(peer) / theirs,
        goal=GOAL.get(name),
        remark=f"{images / ours:,.0f} and {images / theirs:,.0f} images/s; equal images and labels",
    )


def _peer(name: str, root: Path, workers: int) -> DataLoader[Any]:
    kind = getattr(medmnist, medmnist.INFO[name]["python_class"])
    transform = _normalise_volume if name.endswith("3d") else Compose([ToTensor(), Normalize([0.5], [0.5])])
    images = kind(split="train", transform=transform, root=str(root))
    # persistent workers show the peer at its best: starting them costs more than an epoch of these sets
    return DataLoader(
        images, batch_size=BATCH_SIZE[name], shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )


def _normalise_volume(volume: np.ndarray) -> Tensor:
    return torch.from_numpy(volume.astype(np.float32)).sub_(0.5).div_(0.5)


def _real_roots() -> list[Path]:
    given = os.environ.get("MEDZOO_REAL_DATA")
    return [Path(data) / "medmnist" for data in (given, ROOT.parent / "shared" / "data") if data]


def medmnist_root(name: str, folder: Path) -> Path:
    """The folder with `<name>.npz`; without a real one, `folder` with phantoms of the official counts."""
    for root in (*_real_roots(), folder):
        if (root / f"{name}.npz").is_file():
            return root
    counts = medmnist.INFO[name]["n_samples"]  # the peer accepts no others
    phantom = MedMNISTPhantomDataModule(name, counts=(counts["train"], counts["val"], counts["test"]), root=folder)
    phantom.prepare_data()
    phantom.file.rename(folder / f"{name}.npz")
    return folder


def _seconds(batches: Iterable[Any]) -> float:
    """Time of one epoch."""
    start = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - start


def _check_equal(zoo: Iterable[dict[str, Any]], peer: Iterable[list[Tensor]]) -> None:
    """Compare one epoch of both as sets, because their orders differ."""
    ours = _sorted_rows([(batch["image"], batch["label"]) for batch in zoo])
    theirs = _sorted_rows([(image, label) for image, label in peer])
    np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg="zoo and medmnist give different images or labels")


def _sorted_rows(batches: Sequence[tuple[Tensor, Tensor]]) -> np.ndarray:
    """Images (B, C, *spatial) and labels of an epoch as one sorted array (N, C * pixels + 1)."""
    rows = np.concatenate([torch.cat([x.flatten(1), y.reshape(-1, 1).float()], dim=1).numpy() for x, y in batches])
    levels = np.rint(rows * 127.5 + 127.5)  # grey levels, because the two normalisations differ in their last bits
    return rows[sorted(range(len(rows)), key=lambda index: levels[index].astype(np.int16).tobytes())]


if __name__ == "__main__":
    print_rows("loading", run())
