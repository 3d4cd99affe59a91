"""Batches that can be taken up again anywhere, and their use for images that are wholly in memory.

A `torch.utils.data.DataLoader` asks a data set for one image at a time, which for 28-pixel images costs a hundred times
more than the images themselves. In `TensorBatches` a batch is one indexing operation and a few tensor operations.

Evaluation deals out whole batches to the ranks, so that any number of devices sees the batches that one would see. A
rank that is left without one repeats the first, with `stand_in` true: ranks wait for each other, and
`runtime.training.ranks.StandIns` takes care that it counts for nothing.

All randomness is a function of (seed, epoch, batch, rank) rather than of a running state. So a run gives the same
batches however often it is interrupted, no worker repeats another's numbers, and ranks draw different augmentations.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Augmentation", "ResumableBatches", "TensorBatches"]

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


class ResumableBatches:
    """An iterable of batches for one rank; Lightning resumes it in the middle of an epoch.

    Subclasses say which items each batch of an epoch holds (`plan`) and make a batch of them (`batch`).

    Args:
        batch_size: Items in a batch of this rank; all ranks together take `world_size` times as many.
        seed: Seed of order and augmentation.
        rank: Index of this process.
        world_size: Number of processes.
    """

    def __init__(self, *, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.batch_size, self.seed, self.rank, self.world_size = batch_size, seed, rank, world_size
        self.epoch = 0
        self._next_batch = 0  # after the batch given last
        self._resume_at = 0
        self.stands_in = False  # whether the batches of this rank repeat those of another, and count for nothing

    def plan(self, epoch: int) -> Sequence[Tensor]:
        """Indices of the items in each batch of this rank, as many batches for every rank, since ranks wait."""
        raise NotImplementedError

    def batch(self, chosen: Tensor, index: int) -> dict[str, Any]:
        """The batch of the items `chosen`, which is number `index` of the epoch `self.epoch`."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return len(self.plan(0))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The batches of an epoch, from where it was left."""
        self.stands_in = False
        parts = self.plan(self.epoch)
        start, self._resume_at = self._resume_at, 0
        for index, batch in enumerate(self.made(parts, start), start=start):
            last = index + 1 == len(parts)
            self.epoch, self._next_batch = (self.epoch + 1, 0) if last else (self.epoch, index + 1)
            yield {**batch, "stand_in": True} if self.stands_in else batch

    def made(self, parts: Sequence[Tensor], start: int) -> Iterator[dict[str, Any]]:
        """The batches of the items `parts` from number `start` on; subclasses may make them ahead."""
        for index in range(start, len(parts)):
            yield self.batch(parts[index], index)

    def ordered_plan(self, count: int) -> list[Tensor]:
        """Every one of `count` items exactly once over all ranks, in order: for evaluation.

        A rank that is left without a batch stands in with the first one, and says so in `stands_in`.
        """
        batches = torch.arange(count).split(self.batch_size) if count else ()
        mine = list(batches[self.rank :: self.world_size])
        self.stands_in = bool(batches) and not mine
        return mine or list(batches[:1])

    def shuffled_plan(self, count: int, epoch: int, *, drop_last: bool = False) -> list[Tensor]:
        """Batches of `count` items in an order drawn for the epoch; `count % world_size` are left out: ranks stay even.

        Ranks interleave, so that the union of their n-th batches is the n-th batch of a single process with
        `world_size` times the batch size. Items that do not fill a last batch are left out with `drop_last`; without it
        a last one of a single item joins the one before, since normalisation over a batch of one refuses, or gives
        zeros.
        """
        order = torch.randperm(count, generator=self.generator(epoch))
        together = self.world_size * (self.batch_size if drop_last else 1)
        even = count - count % together
        parts = list(order[:even][self.rank :: self.world_size].split(self.batch_size))
        if len(parts) > 1 and len(parts[-1]) == 1 < self.batch_size:
            parts[-2:] = [torch.cat(parts[-2:])]
        return parts

    def balanced_plan(self, groups: Sequence[Tensor], epoch: int) -> list[Tensor]:
        """Batches that hold as many items of each group, by index, in an order drawn for the epoch.

        An epoch has as many batches as all items fill; a small group comes round several times, each time in an order
        of its own. Empty groups are left out.
        """
        groups = [group for group in groups if len(group)]
        together = self.world_size * self.batch_size
        batches = max(1, sum(map(len, groups)) // together)
        rows = []
        for number, group in enumerate(groups):
            share = (together * (number + 1)) // len(groups) - (together * number) // len(groups)
            rounds = math.ceil(batches * share / len(group))
            drawn = [torch.randperm(len(group), generator=self.generator(epoch, 0, number, r)) for r in range(rounds)]
            rows.append(group[torch.cat(drawn)[: batches * share]].view(batches, share))
        return list(torch.cat(rows, dim=1)[:, self.rank :: self.world_size])

    def generator(self, *key: int) -> torch.Generator:
        """A generator that depends on the seed and `key` alone."""
        mixed = np.random.SeedSequence((self.seed, *key)).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(mixed))

    @property
    def sampler(self) -> "ResumableBatches":
        """Where Lightning looks for `set_epoch`."""
        return self

    batch_sampler = sampler

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order and augmentations come next; a position in another epoch is forgotten."""
        if epoch != self.epoch:
            self._resume_at = 0
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Position after the batch given last."""
        return {"epoch": self.epoch, "next_batch": self._next_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on where `state` was taken, in the next iteration."""
        self.epoch, self._resume_at = state["epoch"], state["next_batch"]


class TensorBatches(ResumableBatches):
    """Batches cut from one tensor of images.

    Args:
        images: (N, C, *spatial) uint8.
        labels: (N,) or (N, L) labels, none when there are none to give.
        ids: N names, one for each image.
        beside: Other tensors of N entries, which the batch holds under their names as they are.
        mean: Subtracted from intensities in [0, 1].
        std: Divides what is left.
        augment: Applied to float images in [0, 1] before normalisation.
        shuffle: A new order in each epoch (`shuffled_plan`); an epoch then drops up to `world_size - 1` images so that
            ranks stay even. Without it every image is given exactly once, over all ranks.
        drop_last: With `shuffle`, drop the images that do not fill a last batch, other ones in each epoch.
        balanced: With `shuffle`, every batch holds as many images of each class; those of a rare one come round again.
        **options: `batch_size`, `seed`, `rank` and `world_size` of `ResumableBatches`.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None,
        ids: Sequence[str],
        *,
        beside: Mapping[str, Tensor] | None = None,
        mean: float = 0.5,
        std: float = 0.5,
        augment: Augmentation | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
        balanced: bool = False,
        **options: int,
    ) -> None:
        super().__init__(**options)
        self.images, self.labels, self.ids, self.beside = images, labels, ids, dict(beside or {})
        self.augment, self.shuffle = augment, shuffle
        self.drop_last = drop_last and shuffle
        self.balanced = balanced and shuffle
        if self.balanced and (labels is None or labels.ndim > 1):
            raise ValueError("balanced batches need one class for each image")
        if self.drop_last and len(images) < self.world_size * self.batch_size:
            raise ValueError(
                f"{len(images)} training images do not fill a batch of {self.world_size} x {self.batch_size}: "
                "set a smaller datamodule.batch_size or datamodule.drop_last=false"
            )
        self._scale, self._offset = 1 / (255 * std), mean / std
        self.mean, self.std = mean, std

    def plan(self, epoch: int) -> list[Tensor]:
        """Indices of each batch of an epoch."""
        if not self.shuffle:
            return self.ordered_plan(len(self.images))
        if self.balanced and self.labels is not None:
            return self.balanced_plan([(self.labels == value).nonzero()[:, 0] for value in self.labels.unique()], epoch)
        return self.shuffled_plan(len(self.images), epoch, drop_last=self.drop_last)

    def batch(self, chosen: Tensor, index: int) -> dict[str, Any]:
        """`{"image": (B, C, *spatial) float32, "label": (B,) or (B, L), "id": list of B names}`."""
        images = self.images[chosen].float()
        if self.augment is None:
            images.mul_(self._scale).sub_(self._offset)
        else:
            generator = self.generator(self.epoch, index + 1, self.rank)
            images = self.augment(images.div_(255), generator).sub(self.mean).div_(self.std)
        batch: dict[str, Any] = {"image": images, "id": [self.ids[i] for i in chosen.tolist()]}
        batch |= {name: tensor[chosen] for name, tensor in self.beside.items()}
        if self.labels is not None:
            batch["label"] = self.labels[chosen]
        return batch
