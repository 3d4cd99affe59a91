"""Cases as batches: random patches for training, one whole case at a time for everything else."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medzoo.datamodules.batches import ResumableBatches
from medzoo.datamodules.segmentation.cases import Case

__all__ = ["CaseBatches", "PatchBatches", "crop", "random_crop"]

Augment = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]


class PatchBatches(ResumableBatches):
    """`{"image": (B, C, *patch) float32, "mask": (B, *patch) int64, "id": B names}`, drawn again in each epoch.

    Cases are drawn with replacement. Patches lie anywhere in a case, but the last third of a batch (one of two) is
    centred on a voxel of a random foreground class or region. If parts of a case are not annotated, every patch is
    centred on an annotated voxel, as in nnU-Net; cases without one are left out.

    Args:
        cases: With masks.
        patch: Voxels of a patch; outside the case it is filled with 0 (background).
        batches: Batches in an epoch.
        foreground: Share of patches that are centred on foreground.
        augment: Maps image (C, *patch), mask (*patch) and a seed to a new image and mask.
        threads: Batches prefetched by threads; 0 makes each batch on demand.
        ignore: Label value of voxels that are not annotated.
        regions: Label values of each region, if labels are regions.
        **options: `batch_size`, `seed`, `rank` and `world_size` of `ResumableBatches`.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        patch: Sequence[int],
        *,
        batches: int,
        foreground: float = 0.33,
        augment: Augment | None = None,
        threads: int = 0,
        ignore: int | None = None,
        regions: Sequence[Sequence[int]] | None = None,
        **options: int,
    ) -> None:
        super().__init__(**options)
        if ignore is not None:
            cases = [case for case in cases if np.any(case.mask != ignore)]
            if not cases:
                raise ValueError(f"no training mask has an annotated voxel: all are {ignore}, which is ignore")
        self.cases, self.patch, self.batches, self.augment = list(cases), tuple(patch), batches, augment
        self.threads = threads
        self._around = self.batch_size - round(self.batch_size * (1 - foreground))
        self._places = [_places(case, ignore, regions) for case in self.cases]
        self._annotated = [_annotated(case, ignore) for case in self.cases]

    def plan(self, epoch: int) -> list[Tensor]:
        """Indices of the cases of each batch of this rank."""
        shape = (self.batches, self.world_size, self.batch_size)
        drawn = torch.randint(len(self.cases), shape, generator=self.generator(epoch, 0))
        return list(drawn[:, self.rank])

    def made(self, parts: Sequence[Tensor], start: int) -> Iterator[dict[str, Any]]:
        """One by one, or prefetched by threads."""
        if not self.threads:
            yield from super().made(parts, start)
            return
        epoch, waiting = self.epoch, iter(range(start, len(parts)))
        with ThreadPoolExecutor(self.threads) as pool:
            ahead = deque(pool.submit(self._patches, parts[i], i, epoch) for i in islice(waiting, self.threads))
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(pool.submit(self._patches, parts[i], i, epoch) for i in islice(waiting, 1))
                yield batch

    def batch(self, chosen: Tensor, index: int) -> dict[str, Any]:
        """The patches of the cases `chosen`."""
        return self._patches(chosen, index, self.epoch)

    def _patches(self, chosen: Tensor, index: int, epoch: int) -> dict[str, Any]:
        rng = np.random.default_rng((self.seed, epoch, index + 1, self.rank))
        images, masks = [], []
        for place, number in enumerate(chosen.tolist()):
            case, places = self.cases[number], self._places[number]
            around = place >= self.batch_size - self._around and len(places) > 0
            corner = _corner(case.image.shape[1:], self.patch, rng, places if around else self._annotated[number])
            image, mask = crop(case.image, corner, self.patch), crop(case.mask[None], corner, self.patch)[0]
            if self.augment is not None:
                image, mask = self.augment(image, mask, int(rng.integers(2**32)))
            images.append(image)
            masks.append(mask)
        names = [self.cases[number].id for number in chosen.tolist()]
        mask_batch = torch.from_numpy(np.stack(masks).astype(np.int64))
        return {"image": torch.from_numpy(np.stack(images)), "mask": mask_batch, "id": names}


class CaseBatches(ResumableBatches):
    """One case in a batch: `{"image": (1, C, *spatial), "size": voxels of the file, "spacing": its mm, "id": [name]}`.

    If it has a mask, also `mask`: (1, *size) int64, on the grid of the file.

    Args:
        cases: Cases in order.
        read: Reads an entry of `cases` on demand; None if the entries are cases already.
        **options: `rank` and `world_size` of `ResumableBatches`.
    """

    def __init__(self, cases: Sequence[Any], read: Callable[[Any], Case] | None = None, **options: int) -> None:
        super().__init__(batch_size=1, **options)
        self.cases, self.read = list(cases), read

    def plan(self, epoch: int) -> list[Tensor]:
        """Every case once, over all ranks."""
        return self.ordered_plan(len(self.cases))

    def batch(self, chosen: Tensor, index: int) -> dict[str, Any]:
        """One case."""
        case = self.cases[int(chosen)] if self.read is None else self.read(self.cases[int(chosen)])
        image, spacing = torch.from_numpy(case.image)[None], torch.tensor(case.spacing)
        batch = {"image": image, "spacing": spacing, "id": [case.id], "size": case.size}
        return batch if case.truth is None else {**batch, "mask": torch.from_numpy(case.truth.astype(np.int64))[None]}


def crop(array: np.ndarray, corner: Sequence[int], patch: Sequence[int]) -> np.ndarray:
    """Crop (C, *spatial) to (C, *patch) from a corner on, padding with zeros outside."""
    size = array.shape[1:]
    inside = [slice(max(at, 0), min(at + side, n)) for at, side, n in zip(corner, patch, size, strict=True)]
    gaps = [(max(-at, 0), max(at + side - n, 0)) for at, side, n in zip(corner, patch, size, strict=True)]
    cut = array[(slice(None), *inside)]
    return np.pad(cut, [(0, 0), *gaps]) if any(map(sum, gaps)) else cut.copy()


def random_crop(array: np.ndarray, patch: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Crop at a random corner; a smaller array is placed at random inside the patch."""
    return crop(array, _corner(array.shape[1:], patch, rng, []), patch)


def _places(case: Case, ignore: int | None, regions: Sequence[Sequence[int]] | None) -> list[np.ndarray]:
    """Voxels (n, axes) of each foreground class or region of a case."""
    rng = np.random.default_rng(0)
    assert case.mask is not None, "training cases have masks"
    classes = regions or [[value] for value in np.unique(case.mask) if value not in (0, ignore)]
    return [some for some in (_some(np.isin(case.mask, values), rng) for values in classes) if len(some)]


def _annotated(case: Case, ignore: int | None) -> list[np.ndarray]:
    """Annotated voxels (n, axes) of a partly annotated case; empty for others, where any voxel will do."""
    if ignore is None or case.mask is None or not (case.mask == ignore).any():
        return []
    return [_some(case.mask != ignore, np.random.default_rng(1))]


def _some(where: np.ndarray, rng: np.random.Generator, most: int = 10_000) -> np.ndarray:
    voxels = np.argwhere(where)
    return voxels[rng.permutation(len(voxels))[:most]]


def _corner(size: Sequence[int], patch: Sequence[int], rng: np.random.Generator, places: list[np.ndarray]) -> list[int]:
    """First voxel of a patch; a case smaller than the patch is placed at random inside it."""
    ends = [sorted((0, n - side)) for n, side in zip(size, patch, strict=True)]
    if not places:
        return [int(rng.integers(low, high + 1)) for low, high in ends]
    voxels = places[int(rng.integers(len(places)))]
    middle = voxels[int(rng.integers(len(voxels)))]
    return [min(max(int(at) - side // 2, low), high) for at, side, (low, high) in zip(middle, patch, ends, strict=True)]
