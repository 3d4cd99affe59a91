"""Images of the patients of a cohort, kept in the store and read when a batch is made."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from medzoo.datamodules.liver.images import ImageSizes
from medzoo.datamodules.liver.records import Patient
from medzoo.datamodules.store import Job, Made, Store, StoredArray

__all__ = ["Images", "make_images", "read_images"]


@dataclass(frozen=True)
class Images:
    """Images (*shape) uint8 of N patients, in memory or on disk, None where there are none; `images[indices]`."""

    rows: Sequence[np.ndarray | StoredArray | None]
    shape: tuple[int, ...]

    def __getitem__(self, chosen: Tensor) -> Tensor:
        images = torch.zeros((len(chosen), *self.shape), dtype=torch.uint8)
        for place, row in zip(images, (self.rows[number] for number in chosen.tolist()), strict=True):
            if row is not None:
                place.copy_(torch.from_numpy(np.asarray(row)))
        return images


def read_images(
    patients: Sequence[Patient], present: np.ndarray, modality: str, sizes: ImageSizes, store: Store | None = None
) -> Images:
    """Images `ct`, `mr` or `histology` of N patients, where `present` (N,) is True; in memory without a store.

    Raises:
        ValueError: If a file is invalid; the message names it.
    """
    there = np.flatnonzero(present).tolist()
    read: Sequence[np.ndarray | StoredArray]
    if store is None:
        read = [sizes.read(patients[number], modality) for number in there]
    else:
        jobs = [_job(patients[number], modality, sizes, store) for number in there]
        read = [entry["images"] for entry in store.fill(jobs, f"{modality} of patients")]
    found = dict(zip(there, read, strict=True))
    return Images([found.get(number) for number in range(len(patients))], sizes.shape(modality))


def make_images(inputs: tuple[ImageSizes, Patient, str], _settings: object) -> Made:
    """The images of a modality of a patient, for the store."""
    sizes, patient, modality = inputs
    return Made({"images": sizes.read(patient, modality)})


def _job(patient: Patient, modality: str, sizes: ImageSizes, store: Store) -> Job:
    kinds, files = zip(*sizes.files(patient, modality), strict=True)
    return store.job(patient.id, make_images, (sizes, patient, modality), files, (kinds, sizes.key(modality)))
