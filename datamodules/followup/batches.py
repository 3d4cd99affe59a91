"""Batches of the follow-up layout: single slices, pairs of slices with context, and whole patients."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from medzoo.datamodules.batches import Augmentation, Ranks, ResumableBatches
from medzoo.datamodules.followup.cohort import Patient
from medzoo.datamodules.followup.scans import TIMES
from medzoo.datamodules.store import StoredArray

__all__ = ["PairBatches", "PatientBatches", "Region", "SliceBatches", "patient_batch"]


@dataclass(frozen=True)
class Region:
    """The slices to forecast, and the context slices that a network sees with each."""

    context_mm: float  # distance of the two context slices; at least one slice
    margin_mm: float  # slices with IPH at baseline, and those within this distance, are forecast
    whole_slices: bool = False  # round the margin up as HemExp's code does: 10 mm are 3 slices of 4 mm, not 2

    def slices(self, bleeds: np.ndarray, spacing_z: float) -> np.ndarray:
        """(Z,) bool of the slices to forecast, given (Z,) whether each has IPH at baseline; slice distance in mm."""
        margin_mm = self.margin_mm
        if self.whole_slices:
            margin_mm = math.ceil(margin_mm / spacing_z - 1e-6) * spacing_z
        distance = np.abs(np.arange(len(bleeds))[:, None] - np.flatnonzero(bleeds)[None]).min(1) * spacing_z
        return distance <= margin_mm + 1e-6

    def context(self, index: int, depth: int, spacing_z: float) -> list[int]:
        """Indices of the slices at -context, 0 and +context mm, clamped to 0 and `depth - 1`."""
        step = max(1, round(self.context_mm / spacing_z))
        return [min(max(index + offset, 0), depth - 1) for offset in (-step, 0, step)]


class _GroupedBatches(ResumableBatches):
    """For training, equally many items of each group in a batch; else every item once, in order."""

    shuffle: bool
    _items: list[Any]
    _groups: list[Tensor]

    def plan(self, epoch: int) -> list[Tensor]:
        """Indices of each batch of an epoch."""
        return self.balanced_plan(self._groups, epoch) if self.shuffle else self.ordered_plan(len(self._items))


class SliceBatches(_GroupedBatches):
    """Batches `{"image": (B, 3, H, W) float32 of CT in [0, 1], IPH, IVH; "id": list of B patient ids}`.

    Training batches hold equally many slices with IVH, with IPH only and without blood, because IVH is rare; otherwise
    every slice with brain is given once.

    Args:
        patients: Patients with both scans, which are both used.
        augment: Augments training batches.
        shuffle: Whether this is training.
        **options: Of `ResumableBatches`.
    """

    def __init__(
        self,
        patients: Sequence[Patient],
        *,
        augment: Augmentation | None = None,
        shuffle: bool = False,
        **options: int,
    ) -> None:
        super().__init__(**options)
        self.patients, self.augment, self.shuffle = patients, augment, shuffle
        self._items: list[tuple[int, str, int]] = []
        kinds: list[int] = []  # 0 no blood, 1 IPH alone, 2 IVH
        for number, patient in enumerate(patients):
            for time in TIMES:
                holds = patient.holds[time]
                for z in np.flatnonzero(holds[:, 0]):
                    self._items.append((number, time, int(z)))
                    kinds.append(2 if holds[z, 2] else int(holds[z, 1]))
        self._groups = [torch.tensor(np.flatnonzero(np.array(kinds) == kind)) for kind in (2, 1, 0)]

    def batch(self, chosen: Tensor, index: int, epoch: int) -> dict[str, Any]:
        """The batch of these slices."""
        items = [self._items[i] for i in chosen.tolist()]
        stack = np.stack([getattr(self.patients[n], time)[z] for n, time, z in items])
        images = torch.from_numpy(stack).float().div_(255)
        if self.augment is not None:
            images = self.augment(images, self.generator(epoch, index + 1, self.rank))
            images[:, 1:] = (images[:, 1:] > 0.5).float()  # interpolated masks are masks again
        return {"image": images, "id": [self.patients[n].id for n, _, _ in items]}


class PairBatches(_GroupedBatches):
    """Slices around the bleed at baseline with context, and the same slice at follow-up.

    Batches `{"image": (B, 9, H, W), three slices of CT, IPH, IVH each, at -context, 0, +context mm; "followup":
    (B, 3, H, W); "iph": (B, H, W) bool, the baseline's; "clinical": (B, 7), NaN unknown; "label": (B,) 0/1; "id"}`.
    With latents, "latent" (B, 3 c, h, w) and "followup_latent" (B, c, h, w) replace both images.

    Args:
        patients: With both scans.
        region: What is forecast.
        all_slices: Give every slice, not only those of the region.
        flip: Whether to flip half of the training pairs, left to right.
        latents: Latents (Z, c, h, w) by (patient id, time, flipped).
        shuffle: Whether this is training: equally many pairs with and without expansion in each batch.
        **options: Of `ResumableBatches`.
    """

    def __init__(
        self,
        patients: Sequence[Patient],
        region: Region,
        *,
        all_slices: bool = False,
        flip: bool = False,
        latents: Mapping[tuple[str, str, bool], StoredArray] | None = None,
        shuffle: bool = False,
        **options: int,
    ) -> None:
        super().__init__(**options)
        self.patients, self.region, self.flip = patients, region, flip and shuffle
        self.latents, self.shuffle = latents, shuffle
        self._items: list[tuple[Patient, int]] = []
        for patient in patients:
            near = region.slices(patient.holds["baseline"][:, 1], patient.grid.spacing[0])
            self._items += [(patient, int(z)) for z in np.flatnonzero(near | all_slices)]
        labels = np.array([patient.expansion for patient, _ in self._items])
        self._groups = [torch.tensor(np.flatnonzero(labels == flag)) for flag in (1, 0)]

    def batch(self, chosen: Tensor, index: int, epoch: int) -> dict[str, Any]:
        """The batch of these pairs."""
        items = [self._items[i] for i in chosen.tolist()]
        mirrored = [False] * len(items)
        if self.flip:
            drawn = torch.rand(len(items), generator=self.generator(epoch, index + 1, self.rank))
            mirrored = (drawn < 0.5).tolist()
        pairs = [(*item, mirror) for item, mirror in zip(items, mirrored, strict=True)]
        before, after = map(np.stack, zip(*(self._pair(*pair) for pair in pairs), strict=True))
        if self.latents is None:
            names, scale = ("image", "followup"), 255
            bleeds = before[:, 4] > 0  # of the middle slice
        else:
            names, scale = ("latent", "followup_latent"), 1
            bleeds = np.stack([_turned(patient.baseline[z, 1] > 0, mirror) for patient, z, mirror in pairs])
        return {
            "clinical": torch.from_numpy(np.stack([patient.clinical for patient, _ in items])),
            "label": torch.tensor([patient.expansion for patient, _ in items]),
            "id": [patient.id for patient, _ in items],
            "iph": torch.from_numpy(bleeds),
            names[0]: torch.from_numpy(before).float().div_(scale),
            names[1]: torch.from_numpy(after).float().div_(scale),
        }

    def _pair(self, patient: Patient, z: int, mirror: bool) -> tuple[np.ndarray, np.ndarray]:
        around = self.region.context(z, len(patient.baseline), patient.grid.spacing[0])
        if self.latents is None:
            assert patient.followup is not None
            before, after = (_turned(x, mirror) for x in (patient.baseline[around], patient.followup[z]))
        else:
            before = self.latents[patient.id, "baseline", mirror][around]
            after = self.latents[patient.id, "followup", mirror][z]
        return before.reshape(-1, *before.shape[2:]), after


def _turned(image: np.ndarray, flip: bool) -> np.ndarray:
    """Flip (..., W) left to right if `flip`."""
    return image[..., ::-1] if flip else image


class PatientBatches(ResumableBatches):
    """Whole patients, one a batch, shared out between ranks: for testing and predicting (see `patient_batch`)."""

    def __init__(self, patients: Sequence[Patient], region: Region, **ranks: Unpack[Ranks]) -> None:
        super().__init__(batch_size=1, **ranks)
        self.patients, self.region = patients, region

    def plan(self, epoch: int) -> list[Tensor]:
        """Every patient once, over all ranks."""
        return self.ordered_plan(len(self.patients))

    def batch(self, chosen: Tensor, index: int, epoch: int) -> dict[str, Any]:
        """One patient."""
        return patient_batch(self.patients[int(chosen)], self.region)


def patient_batch(patient: Patient, region: Region) -> dict[str, Any]:
    """A patient as a batch.

    Returns:
        `image` (Z, 3, H, W) baseline; `followup` likewise, if there is one; `slices` (S,) indices of the slices to
        forecast; `context` (S, 3) indices of each with its context; `spacing` (3,) mm in x, y, z;
        `clinical` (1, 7); `signs` (1, S) of the bleed; `label` (1,), -1 where unknown; `table`, its row of
        `clinical.csv` as text, `id` and `hospital`, lists of one.
    """
    spacing, depth = patient.grid.spacing[::-1], len(patient.baseline)
    chosen = np.flatnonzero(region.slices(patient.holds["baseline"][:, 1], spacing[2]))
    batch: dict[str, Any] = {
        "id": [patient.id],
        "hospital": [patient.hospital],
        "image": torch.from_numpy(np.asarray(patient.baseline)).float() / 255,
        "slices": torch.from_numpy(chosen),
        "context": torch.tensor([region.context(int(z), depth, spacing[2]) for z in chosen]),
        "spacing": torch.tensor(spacing),
        "clinical": torch.from_numpy(patient.clinical)[None],
        "signs": torch.from_numpy(patient.signs)[None],
        "label": torch.tensor([patient.expansion]),
        "table": [patient.columns],
    }
    if patient.followup is not None:
        batch["followup"] = torch.from_numpy(np.asarray(patient.followup)).float() / 255
    return batch
