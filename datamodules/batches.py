"""Batches cut from tensors that are wholly in memory: the loader of small-image data sets.

A `torch.utils.data.DataLoader` asks a data set for one image at a time, which for 28-pixel images costs a hundred times
more than the images themselves. Here a batch is one indexing operation and a few tensor operations.

All randomness is a function of (seed, epoch, batch, rank) rather than of a running state. So a run gives the same
batches however often it is interrupted, no worker repeats another's numbers, and ranks draw different augmentations.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Augmentation", "TensorBatches"]

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


class TensorBatches:
    """An iterable of batches for one rank; Lightning resumes it in the middle of an epoch.

    Args:
        images: (N, C, *spatial) uint8.
        labels: (N,) or (N, L) labels, none when there are none to give.
        ids: N names, one for each image.
        batch_size: Images in a batch of this rank; all ranks together take `world_size` times as many.
        mean: Subtracted from intensities in [0, 1].
        std: Divides what is left.
        augment: Applied to float images in [0, 1] before normalisation.
        shuffle: A new order in each epoch; an epoch then drops up to `world_size - 1` images so that ranks stay even.
            Without it every image is given exactly once, over all ranks.
        drop_last: With `shuffle`, drop the images that do not fill a last batch, other ones in each epoch.
        seed: Seed of order and augmentation.
        rank: Index of this process.
        world_size: Number of processes.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None,
        ids: Sequence[str],
        *,
        batch_size: int,
        mean: float = 0.5,
        std: float = 0.5,
        augment: Augmentation | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.images, self.labels, self.ids = images, labels, ids
        self.batch_size, self.augment, self.shuffle = batch_size, augment, shuffle
        self.drop_last = drop_last and shuffle
        self.seed, self.rank, self.world_size = seed, rank, world_size
        if self.drop_last and len(images) < world_size * batch_size:
            raise ValueError(
                f"{len(images)} training images do not fill a batch of {world_size} x {batch_size}: "
                "set a smaller datamodule.batch_size or datamodule.drop_last=false"
            )
        self._scale, self._offset = 1 / (255 * std), mean / std
        self.mean, self.std = mean, std
        self.epoch = 0
        self._next_batch = 0  # after the batch given last
        self._resume_at = 0

    def __len__(self) -> int:
        """Number of batches in an epoch, the same for every rank, since ranks wait for each other."""
        together = self.world_size * self.batch_size
        used = len(self.images) - len(self.images) % (together if self.drop_last else 1)
        if self.shuffle:
            used -= used % self.world_size
        return math.ceil(math.ceil(used / self.world_size) / self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Batches `{"image": (B, C, *spatial) float32, "label": (B,) or (B, L), "id": list of B names}`."""
        order = torch.arange(len(self.images))
        if self.shuffle:
            order = torch.randperm(len(self.images), generator=self._generator(self.epoch))
        order = self._mine(order)
        start, self._resume_at = self._resume_at, 0
        # In evaluation ranks may hold one image more or less, and must still come to as many batches.
        parts = order.split(self.batch_size) if self.shuffle or self.world_size == 1 else order.tensor_split(len(self))
        for index in range(start, len(self)):
            batch = self._batch(parts[index], index)
            last = index + 1 == len(self)
            self.epoch, self._next_batch = (self.epoch + 1, 0) if last else (self.epoch, index + 1)
            yield batch

    def _mine(self, order: Tensor) -> Tensor:
        """The part of an epoch's order that belongs to this rank.

        Ranks interleave, so that the union of their n-th batches is the n-th batch of a single process with
        `world_size` times the batch size.
        """
        together = self.world_size * (self.batch_size if self.drop_last else 1)
        even = len(order) - len(order) % together if self.shuffle else len(order)
        return order[:even][self.rank :: self.world_size]

    def _batch(self, chosen: Tensor, index: int) -> dict[str, Any]:
        images = self.images[chosen].float()
        if self.augment is None:
            images.mul_(self._scale).sub_(self._offset)
        else:
            generator = self._generator(self.epoch, index + 1, self.rank)
            images = self.augment(images.div_(255), generator).sub(self.mean).div_(self.std)
        batch: dict[str, Any] = {"image": images, "id": [self.ids[i] for i in chosen.tolist()]}
        if self.labels is not None:
            batch["label"] = self.labels[chosen]
        return batch

    def _generator(self, *key: int) -> torch.Generator:
        """A generator that depends on the seed and `key` alone."""
        mixed = np.random.SeedSequence((self.seed, *key)).generate_state(1, np.uint64)[0]
        return torch.Generator().manual_seed(int(mixed))

    @property
    def batch_sampler(self) -> "TensorBatches":
        """Where Lightning looks for a sampler."""
        return self

    @property
    def sampler(self) -> "TensorBatches":
        """Where Lightning looks for `set_epoch`."""
        return self

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
