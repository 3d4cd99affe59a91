"""Augmented patches: CPU time beside MONAI and nnU-Net, more workers, and the queue before a GPU."""

import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.data.patches.peers import has_nnunet, monai_batches, nnunet_augment
from benchmarks.data.patches.queue import share_of_waiting
from benchmarks.tables.row import Row
from medzoo.datamodules import HeadPhantom, HeadScans, SegmentationDataModule
from medzoo.datamodules.segmentation.batches import PatchBatches
from medzoo.datamodules.transforms import NNUNetAugment

__all__ = ["rows"]

_STEP = 0.07  # seconds of a step on a GPU that a batch is estimated for
_BATCH = 2


def rows(folder: Path, *, edge: int = 320, count: int = 150) -> list[Row]:
    """Compare batches of two patches of 16 slices, of synthetic heads of `edge` pixels squared.

    Args:
        folder: For the heads.
        edge: H = W of a slice and of a patch.
        count: Batches that are timed.
    """
    patch = (16, edge, edge)
    cases = _cases(folder, edge)

    def batches(augment: Any, **options: int) -> PatchBatches:
        return PatchBatches(cases, patch, batches=count, batch_size=_BATCH, augment=augment, **options)

    zoo = batches(NNUNetAugment(flip=None))
    seconds = _cpu_seconds(zoo, count)
    ours, unit, name = float(np.mean(seconds)) / _BATCH, "CPU s/patch", "x".join(map(str, patch))
    whole = [{"image": case.image, "mask": case.labels[None]} for case in cases]
    monai = np.mean(_cpu_seconds(monai_batches(whole, patch, _BATCH), count)) / _BATCH
    told = "its transforms in three axes, from memory"
    found = [Row(f"augmented patch {name}, MONAI", unit, ours, float(monai), 1.0, False, told)]
    if has_nnunet():
        theirs = np.mean(_cpu_seconds(batches(nnunet_augment(patch)), count)) / _BATCH
        told = "same crops; batchgeneratorsv2's transforms, which cut no larger patches first here"
        found.append(Row(f"augmented patch {name}, nnU-Net", unit, ours, float(theirs), 1.0, False, told))
    rates = [_rate(batches(NNUNetAugment(flip=None), workers=number), count) for number in (1, 2)]
    told = f"zoo: 2 workers, peer: 1 worker; wall time with {torch.get_num_threads()} thread here"
    found.append(
        Row(f"augmented patches {name}, two workers beside one", "patches/s", rates[1], rates[0], 1.8, True, told)
    )
    return [*found, *_queue(seconds)]


def _queue(seconds: list[float]) -> list[Row]:
    """Simulated for a GPU that takes a batch every 70 ms, on cores that nothing else uses."""
    one = share_of_waiting(1, seconds, _STEP)
    told = f"simulated: batches of {np.mean(seconds):.3f} +- {np.std(seconds):.3f} CPU s; peer: 1 worker"
    case = "waiting for data in a step of 70 ms"
    return [
        Row(f"{case}, {number} workers", "share", share_of_waiting(number, seconds, _STEP), one, None, False, told)
        for number in (2, 4, 8, 16)
    ]


def _cases(folder: Path, edge: int) -> list[Any]:
    cohort = HeadPhantom(patients={"Aare": 2, "Kander": 1}, image_size=edge, spacing_mm=192 / edge, slices=18)
    plan = {"spacing": [5.0, 192 / edge, 192 / edge], "patch": [16, edge, edge], "batch_size": _BATCH}
    shape = {"features": [8], "strides": [[1, 1, 1]], "kernels": [[3, 3, 3]]}
    data = SegmentationDataModule(
        folder,
        phantom=HeadScans(cohort, ["Kander"]),
        folds=2,
        patient="(.*)_(?:baseline|followup)",
        plan={**plan, **shape},
    )
    data.prepare_data()
    data.setup("fit")
    return list(data.train_dataloader().cases)


def _cpu_seconds(batches: Iterable[Any], count: int) -> list[float]:
    """CPU time of each batch but the first."""
    found, began = [], 0.0
    for _ in islice(batches, count):
        found.append(time.process_time() - began)
        began = time.process_time()
    return found[1:]


def _rate(batches: PatchBatches, count: int) -> float:
    """Patches in a second once the workers run: of a second epoch."""
    for _ in batches:
        pass
    began = time.perf_counter()
    for _ in batches:
        pass
    return count * _BATCH / (time.perf_counter() - began)
