"""Batches that can be resumed anywhere, and batches of images that are held in memory.

A `torch.utils.data.DataLoader` asks a data set for one image at a time, which for 28-pixel images costs a hundred times
more than the images themselves. `TensorBatches` makes a batch with one indexing operation and a few tensor operations.

Evaluation hands whole batches to the ranks, so that any number of devices sees the batches that one device would see. A
rank left without a batch repeats the first one with `stand_in` true, since ranks wait for each other;
`runtime.training.ranks.StandIns` leaves it out of all results.

All randomness is a function of (seed, epoch, batch, rank), not of a running state. So an interrupted run gives the same
batches as an uninterrupted one, no worker repeats another's numbers, and ranks draw different augmentations.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor

from medzoo.datamodules.loading import Ahead, Key
from medzoo.datamodules.store import StoredRows

__all__ = ["Augmentation", "BatchOptions", "Ranks", "ResumableBatches", "TensorBatches"]

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


class Ranks(TypedDict, total=False):
    """Which process of how many asks for batches, and how many workers make them for it."""

    rank: int
    world_size: int
    workers: int


class BatchOptions(Ranks, total=False):
    """Arguments of `ResumableBatches`."""

    batch_size: int
    seed: int


class ResumableBatches:
    """An iterable of batches for one rank, which Lightning can resume within an epoch.

    Subclasses choose the items of each batch of an epoch (`plan`) and build the batch (`batch`).

    Args:
        batch_size: Items in a batch of this rank; all ranks together take `world_size` times as many.
        seed: Seed of order and augmentation.
        rank: Index of this process.
        world_size: Number of processes.
        workers: Processes that make batches ahead for this one (`datamodules/loading.py`); 0 makes each when it is
            asked for.
    """

    def __init__(self, *, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1, workers: int = 0) -> None:
        self.batch_size, self.seed, self.rank, self.world_size = batch_size, seed, rank, world_size
        self.workers = workers
        self.waited = 0.0
        """Seconds in which batches were asked for and not there yet."""
        self.on_device = False
        """Whether `batch` leaves `finish` to the datamodule, which calls it on the device of the training."""
        self.epoch = 0
        self._ahead: Ahead | None = None
        self._next_batch = 0  # after the last batch given
        self._resume_at = 0
        self.stands_in = False  # whether this rank repeats the batches of another, which then do not count

    def plan(self, epoch: int) -> Sequence[Tensor]:
        """Indices of the items in each batch of this rank; every rank has as many batches, since ranks wait."""
        raise NotImplementedError

    def batch(self, chosen: Tensor, index: int, epoch: int) -> dict[str, Any]:
        """Batch number `index` of an epoch, with the items `chosen`; it may be called in any process."""
        raise NotImplementedError

    def finish(self, batch: dict[str, Any], key: Sequence[int]) -> dict[str, Any]:
        """Augment a batch on the device where it is, with the random numbers of `key`."""
        return batch

    def _finished(self, batch: dict[str, Any], *key: int) -> dict[str, Any]:
        return {**batch, "draw": key} if self.on_device else self.finish(batch, key)

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return len(self.plan(0))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The batches of an epoch, from the current position on."""
        self.stands_in = False
        parts = self.plan(self.epoch)
        start, self._resume_at = self._resume_at, 0
        keys = [(chosen, index, self.epoch) for index, chosen in enumerate(parts)][start:]
        began = time.perf_counter()
        for index, batch in enumerate(self._made(keys), start=start):
            self.waited += time.perf_counter() - began
            last = index + 1 == len(parts)
            self.epoch, self._next_batch = (self.epoch + 1, 0) if last else (self.epoch, index + 1)
            yield {**batch, "stand_in": True} if self.stands_in else batch
            began = time.perf_counter()

    def _made(self, keys: Sequence[Key]) -> Iterator[dict[str, Any]]:
        if not self.workers:
            return (self.batch(*key) for key in keys)
        if self._ahead is None:  # of a copy: workers end with this object, which they would keep alive
            self._ahead = Ahead(copy.copy(self).batch, min(self.workers, len(self)))
        return self._ahead.made(keys)

    def ordered_plan(self, count: int) -> list[Tensor]:
        """Each of `count` items exactly once over all ranks, in order, for evaluation.

        A rank left without a batch repeats the first one and sets `stands_in`.
        """
        batches = torch.arange(count).split(self.batch_size) if count else ()
        mine = list(batches[self.rank :: self.world_size])
        self.stands_in = bool(batches) and not mine
        return mine or list(batches[:1])

    def shuffled_plan(self, count: int, epoch: int, *, drop_last: bool = False) -> list[Tensor]:
        """Batches of `count` items, shuffled for the epoch; drops `count % world_size` items to keep ranks even.

        Ranks interleave, so that the union of their n-th batches is the n-th batch of a single process with
        `world_size` times the batch size. `drop_last` drops a last batch that is not full. Without it, a last batch of
        one item is merged into the one before, since batch normalisation fails on one item or gives zeros.
        """
        order = torch.randperm(count, generator=self.generator(epoch))
        together = self.world_size * (self.batch_size if drop_last else 1)
        even = count - count % together
        parts = list(order[:even][self.rank :: self.world_size].split(self.batch_size))
        if len(parts) > 1 and len(parts[-1]) == 1 < self.batch_size:
            parts[-2:] = [torch.cat(parts[-2:])]
        return parts

    def balanced_plan(self, groups: Sequence[Tensor], epoch: int) -> list[Tensor]:
        """Batches with equally many items of each group (given as indices), shuffled for the epoch.

        An epoch has as many batches as all items fill. A small group is repeated, reshuffled each time. Empty groups
        are skipped.
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

    def generator(self, *key: int, device: torch.device | str = "cpu") -> torch.Generator:
        """A generator that depends only on the seed and `key`; one of a GPU draws other numbers than one of a CPU."""
        mixed = np.random.SeedSequence((self.seed, *key)).generate_state(1, np.uint64)[0]
        return torch.Generator(device).manual_seed(int(mixed))

    @property
    def sampler(self) -> "ResumableBatches":
        """Where Lightning looks for `set_epoch`."""
        return self

    batch_sampler = sampler

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch; a saved position in another epoch is dropped."""
        if epoch != self.epoch:
            self._resume_at = 0
        self.epoch = epoch

    def state_dict(self) -> dict[str, int]:
        """Position after the last batch given."""
        return {"epoch": self.epoch, "next_batch": self._next_batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume at `state` in the next iteration."""
        self.epoch, self._resume_at = state["epoch"], state["next_batch"]


class TensorBatches(ResumableBatches):
    """Batches cut from one tensor of images.

    Args:
        images: (N, C, *spatial) uint8, in memory or in the store.
        labels: (N,) or (N, L) labels, or None.
        ids: N names, one for each image.
        beside: Further tensors of N entries, added to the batch under their names.
        mean: Subtracted from intensities in [0, 1].
        std: Divides intensities after the mean is subtracted.
        augment: Applied to float images in [0, 1] before normalisation.
        shuffle: A new order in each epoch (`shuffled_plan`); an epoch then drops up to `world_size - 1` images so that
            ranks stay even. Without it every image is given exactly once, over all ranks.
        drop_last: With `shuffle`, drop a last batch that is not full; the images dropped differ from epoch to epoch.
        balanced: With `shuffle`, every batch has equally many images of each class; those of a rare class are repeated.
        **options: Of `ResumableBatches`.
    """

    def __init__(
        self,
        images: Tensor | StoredRows,
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

    def batch(self, chosen: Tensor, index: int, epoch: int) -> dict[str, Any]:
        """`{"image": (B, C, *spatial) float32, "label": (B,) or (B, L), "id": list of B names}`."""
        images = torch.as_tensor(self.images[chosen])
        if self.augment is None:
            images = images.float().mul_(self._scale).sub_(self._offset)
        batch: dict[str, Any] = {"image": images, "id": [self.ids[i] for i in chosen.tolist()]}
        batch |= {name: tensor[chosen] for name, tensor in self.beside.items()}
        if self.labels is not None:
            batch["label"] = self.labels[chosen]
        return batch if self.augment is None else self._finished(batch, epoch, index + 1, self.rank)

    def finish(self, batch: dict[str, Any], key: Sequence[int]) -> dict[str, Any]:
        """Augment and normalise the images of a batch."""
        assert self.augment is not None
        generator = self.generator(*key, device=batch["image"].device)
        images = self.augment(batch["image"].float().div_(255), generator)
        return {**batch, "image": images.sub(self.mean).div_(self.std)}
