"""Batches of the follow-up layout: single slices, pairs of slices with context, and whole patients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.batches import Augmentation, ResumableBatches
from datamodules.followup.cohort import Patient, lesion_slices

__all__ = ["PairBatches", "PatientBatches", "SliceBatches", "context_indices", "patient_batch"]


def context_indices(index: int, depth: int, spacing_z: float, context_mm: float) -> list[int]:
    """Slices at -context, 0 and +context mm of a slice, at least one apart, clamped at the ends."""
    step = max(1, round(context_mm / spacing_z))
    return [min(max(index + offset, 0), depth - 1) for offset in (-step, 0, step)]


class SliceBatches(ResumableBatches):
    """Batches `{"image": (B, 3, H, W) float32 of CT in [0, 1], IPH, IVH; "id": list of B patient ids}`.

    Training batches hold as many slices with IVH as with IPH alone and with no blood, because IVH is rare; otherwise
    every slice with brain stands once.

    Args:
        patients: Whose scans at both times are used.
        batch_size: Slices in a batch of this rank.
        augment: Augments training batches.
        shuffle: Whether this is training.
        seed: Seed of order and augmentation.
        rank: Index of this process.
        world_size: Number of processes.
    """

    def __init__(
        self,
        patients: Sequence[Patient],
        *,
        batch_size: int,
        augment: Augmentation | None = None,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed, rank=rank, world_size=world_size)
        self.patients, self.augment, self.shuffle = patients, augment, shuffle
        self._items: list[tuple[int, str, int]] = []
        kinds: list[int] = []  # 0 no blood, 1 IPH alone, 2 IVH
        for number, patient in enumerate(patients):
            for time in ("baseline", "followup"):
                volume = getattr(patient, time)
                for z in np.flatnonzero((volume[:, 0] > 0).any(axis=(1, 2))):
                    self._items.append((number, time, int(z)))
                    kinds.append(2 if volume[z, 2].any() else int(volume[z, 1].any()))
        self._groups = [torch.tensor(np.flatnonzero(np.array(kinds) == kind)) for kind in (2, 1, 0)]

    def plan(self, epoch: int) -> list[Tensor]:
        """Indices of each batch of an epoch."""
        return self.balanced_plan(self._groups, epoch) if self.shuffle else self.ordered_plan(len(self._items))

    def batch(self, chosen: Tensor, index: int) -> dict[str, Any]:
        """The batch of these slices."""
        items = [self._items[i] for i in chosen.tolist()]
        stack = np.stack([getattr(self.patients[n], time)[z] for n, time, z in items])
        images = torch.from_numpy(stack).float().div_(255)
        if self.augment is not None:
            images = self.augment(images, self.generator(self.epoch, index + 1, self.rank))
            images[:, 1:] = (images[:, 1:] > 0.5).float()  # interpolated masks are masks again
        return {"image": images, "id": [self.patients[n].id for n, _, _ in items]}


class PairBatches(ResumableBatches):
    """Slices around the bleed at baseline with context, and the same slice at follow-up.

    Batches `{"image": (B, 9, H, W), three slices of CT, IPH, IVH each, at -context, 0, +context mm; "followup":
    (B, 3, H, W); "iph": (B, H, W) bool, the baseline's; "clinical": (B, 7), NaN unknown; "label": (B,) 0/1; "id"}`.
    Where latents are known, "latent" (B, 3 c, h, w) and "followup_latent" (B, c, h, w) stand in place of both images.

    Args:
        patients: With both scans.
        batch_size: Pairs in a batch of this rank.
        context_mm: Distance of the context slices.
        margin_mm: Slices this near to a slice with IPH belong to the region that is forecast.
        whole_slices: Round the margin up to whole slices.
        all_slices: Give every slice, not those of that region alone.
        flip: Whether half of the training pairs are mirrored, left to right.
        latents: By (patient id, time, mirrored), (Z, c, h, w) each.
        shuffle: Whether this is training: as many pairs of expanders as of stable patients in each batch.
        seed: Seed of order and mirroring.
        rank: Index of this process.
        world_size: Number of processes.
    """

    def __init__(
        self,
        patients: Sequence[Patient],
        *,
        batch_size: int,
        context_mm: float,
        margin_mm: float,
        whole_slices: bool = False,
        all_slices: bool = False,
        flip: bool = False,
        latents: dict[tuple[str, str, bool], np.ndarray] | None = None,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed, rank=rank, world_size=world_size)
        self.patients, self.context_mm, self.flip = patients, context_mm, flip and shuffle
        self.latents, self.shuffle = latents, shuffle
        self._items = []
        for number, patient in enumerate(patients):
            near = lesion_slices(patient.baseline, patient.grid.spacing[0], margin_mm, whole_slices=whole_slices)
            self._items += [(number, int(z)) for z in np.flatnonzero(near | all_slices)]
        labels = np.array([patients[number].expansion for number, _ in self._items])
        self._groups = [torch.tensor(np.flatnonzero(labels == flag)) for flag in (1, 0)]

    def plan(self, epoch: int) -> list[Tensor]:
        """Indices of each batch of an epoch."""
        return self.balanced_plan(self._groups, epoch) if self.shuffle else self.ordered_plan(len(self._items))

    def batch(self, chosen: Tensor, index: int) -> dict[str, Any]:
        """The batch of these pairs."""
        items = [self._items[i] for i in chosen.tolist()]
        mirrored = torch.zeros(len(items), dtype=torch.bool)
        if self.flip:
            mirrored = torch.rand(len(items), generator=self.generator(self.epoch, index + 1, self.rank)) < 0.5
        patients = [self.patients[number] for number, _ in items]
        batch: dict[str, Any] = {
            "clinical": torch.from_numpy(np.stack([patient.clinical for patient in patients])),
            "label": torch.tensor([patient.expansion for patient in patients]),
            "id": [patient.id for patient in patients],
        }
        places = list(zip(items, mirrored.tolist(), strict=True))
        bleeds = [self.patients[number].baseline[z, 1] > 0 for (number, z), _ in places]
        batch["iph"] = torch.from_numpy(
            np.stack([iph[:, ::-1] if mirror else iph for iph, (_, mirror) in zip(bleeds, places, strict=True)])
        )
        pairs = [self._pair(number, z, mirror) for (number, z), mirror in places]
        names = ("image", "followup") if self.latents is None else ("latent", "followup_latent")
        for name, parts in zip(names, zip(*pairs, strict=True), strict=True):
            stack = torch.from_numpy(np.stack(parts))
            batch[name] = stack.float().div_(255) if self.latents is None else stack.float()
        return batch

    def _pair(self, number: int, z: int, mirror: bool) -> tuple[np.ndarray, np.ndarray]:
        patient = self.patients[number]
        around = context_indices(z, len(patient.baseline), patient.grid.spacing[0], self.context_mm)
        if self.latents is None:
            before, after = patient.baseline[around], patient.followup[z]  # type: ignore[index]
            before, after = (x[..., ::-1] if mirror else x for x in (before, after))
        else:
            before = self.latents[patient.id, "baseline", mirror][around]
            after = self.latents[patient.id, "followup", mirror][z]
        return before.reshape(-1, *before.shape[2:]), np.ascontiguousarray(after)


class PatientBatches(ResumableBatches):
    """Whole patients, one a batch, shared out between ranks: for testing and predicting (see `patient_batch`).

    Args:
        patients: What to forecast.
        context_mm: Distance of the context slices.
        margin_mm: Margin of the region that is forecast.
        whole_slices: Round the margin up to whole slices.
        rank: Index of this process.
        world_size: Number of processes.
    """

    def __init__(
        self,
        patients: Sequence[Patient],
        *,
        context_mm: float,
        margin_mm: float,
        whole_slices: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(batch_size=1, rank=rank, world_size=world_size)
        self.patients = list(patients)
        self.context_mm, self.margin_mm, self.whole_slices = context_mm, margin_mm, whole_slices

    def plan(self, epoch: int) -> list[Tensor]:
        """Every patient once, over all ranks."""
        return self.ordered_plan(len(self.patients))

    def batch(self, chosen: Tensor, index: int) -> dict[str, Any]:
        """One patient."""
        patient = self.patients[int(chosen)]
        return patient_batch(patient, self.context_mm, self.margin_mm, whole_slices=self.whole_slices)


def patient_batch(
    patient: Patient, context_mm: float, margin_mm: float, *, whole_slices: bool = False
) -> dict[str, Any]:
    """A patient as a batch.

    Args:
        patient: The patient.
        context_mm: Distance of the context slices.
        margin_mm: Margin of the region that is forecast.
        whole_slices: Round it up to whole slices.

    Returns:
        `image` (Z, 3, H, W) baseline; `followup` likewise, where there is one; `slices` (S,) indices of the region that
        is forecast; `context` (S, 3) indices of each of these with its context; `spacing` (3,) mm in x, y, z;
        `clinical` (1, 7); `label` (1,), -1 where unknown; `table`, its row of `clinical.csv` as
        text, `id` and `hospital`, lists of one.
    """
    spacing = patient.grid.spacing[::-1]
    chosen = np.flatnonzero(lesion_slices(patient.baseline, spacing[2], margin_mm, whole_slices=whole_slices))
    batch: dict[str, Any] = {
        "id": [patient.id],
        "hospital": [patient.hospital],
        "image": torch.from_numpy(np.array(patient.baseline)).float() / 255,
        "slices": torch.from_numpy(chosen),
        "context": torch.tensor(
            [context_indices(int(z), len(patient.baseline), spacing[2], context_mm) for z in chosen]
        ),
        "spacing": torch.tensor(spacing),
        "clinical": torch.from_numpy(patient.clinical)[None],
        "label": torch.tensor([patient.expansion]),
        "table": [patient.columns],
    }
    if patient.followup is not None:
        batch["followup"] = torch.from_numpy(np.array(patient.followup)).float() / 255
    return batch
