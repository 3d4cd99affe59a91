"""Cases as batches: random patches for training, one whole case at a time for everything else."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medzoo.datamodules.batches import ResumableBatches
from medzoo.datamodules.segmentation.cases import Case, corner_around, corner_at_random

__all__ = ["CaseBatches", "PatchBatches"]

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
        **options: Of `ResumableBatches`.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        patch: Sequence[int],
        *,
        batches: int,
        foreground: float = 0.33,
        augment: Augment | None = None,
        **options: int,
    ) -> None:
        super().__init__(**options)
        self.cases = [case for case in cases if not case.blank]
        if not self.cases:
            raise ValueError("no training mask has an annotated voxel: all voxels are labelled `ignore`")
        self.patch, self.batches, self.augment = tuple(patch), batches, augment
        self._around = self.batch_size - round(self.batch_size * (1 - foreground))

    def plan(self, epoch: int) -> list[Tensor]:
        """Indices of the cases of each batch of this rank."""
        shape = (self.batches, self.world_size, self.batch_size)
        drawn = torch.randint(len(self.cases), shape, generator=self.generator(epoch, 0))
        return list(drawn[:, self.rank])

    def batch(self, chosen: Tensor, index: int, epoch: int) -> dict[str, Any]:
        """The patches of the cases `chosen`."""
        rng = np.random.default_rng((self.seed, epoch, index + 1, self.rank))
        images, masks = [], []
        for place, number in enumerate(chosen.tolist()):
            case = self.cases[number]
            corner = self._corner(case, rng, around=place >= self.batch_size - self._around)
            image, mask = case.cut(corner, self.patch), case.cut_mask(corner, self.patch)
            if self.augment is not None:
                image, mask = self.augment(image, mask, int(rng.integers(2**32)))
            images.append(image)
            masks.append(mask)
        names = [self.cases[number].id for number in chosen.tolist()]
        mask_batch = torch.from_numpy(np.stack(masks).astype(np.int64))
        return {"image": torch.from_numpy(np.stack(images)), "mask": mask_batch, "id": names}

    def _corner(self, case: Case, rng: np.random.Generator, *, around: bool) -> list[int]:
        """First voxel of a patch: around a foreground voxel, an annotated one, or anywhere."""
        if around and case.counts:
            number = int(rng.integers(len(case.counts)))
            middle = case.places[sum(case.counts[:number]) + int(rng.integers(case.counts[number]))]
        elif case.annotated.shape[0]:
            middle = case.annotated[int(rng.integers(case.annotated.shape[0]))]
        else:
            return corner_at_random(case.shape, self.patch, rng)
        return corner_around(middle.tolist(), case.shape, self.patch)


class CaseBatches(ResumableBatches):
    """One case in a batch: `{"image": (1, C, *spatial), "size": voxels of the file, "spacing": its mm, "id": [name]}`.

    If it has a mask, also `mask`: (1, *size) int64, on the grid of the file.

    Args:
        cases: Cases in order.
        read: Reads an entry of `cases` on demand; None if the entries are cases already.
        **options: Of `ResumableBatches`.
    """

    def __init__(self, cases: Sequence[Any], read: Callable[[Any], Case] | None = None, **options: int) -> None:
        super().__init__(batch_size=1, **options)
        self.cases, self.read = list(cases), read

    def plan(self, epoch: int) -> list[Tensor]:
        """Every case once, over all ranks."""
        return self.ordered_plan(len(self.cases))

    def batch(self, chosen: Tensor, index: int, epoch: int) -> dict[str, Any]:
        """One case."""
        case = self.cases[int(chosen)] if self.read is None else self.read(self.cases[int(chosen)])
        image, spacing = torch.from_numpy(case.image)[None], torch.tensor(case.spacing)
        batch = {"image": image, "spacing": spacing, "id": [case.id], "size": case.size}
        return batch if case.truth is None else {**batch, "mask": torch.from_numpy(case.truth.astype(np.int64))[None]}
