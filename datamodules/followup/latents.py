"""Latents of the scans of a patient, made by an encoder once and kept."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from medzoo.datamodules.followup.cohort import Patient
from medzoo.datamodules.followup.scans import TIMES
from medzoo.datamodules.store import Made, Store, StoredArray

__all__ = ["Encode", "latents_of"]

Encode = Callable[[Tensor], Tensor]
_AT_ONCE = 64  # slices


def latents_of(
    patients: list[tuple[Patient, bool]], encode: Encode, key: str, store: Store
) -> dict[tuple[str, str, bool], StoredArray]:
    """Latents (Z, c, h, w) float16 by patient id, time and whether the scan is flipped left to right.

    Args:
        patients: With both scans, and whether to flip them.
        encode: Maps (B, 3, H, W) in [0, 1] to (B, c, h, w).
        key: Stands for the encoder.
        store: Keeps the latents.
    """
    own = Store(store.folder)  # without processes, which have no encoder
    jobs = [
        own.job(patient.id, encode_scans, (patient, flipped, encode), (), (key, patient.key, flipped))
        for patient, flipped in patients
    ]
    entries = own.fill(jobs, "latents of patients")
    return {
        (patient.id, time, flipped): entry[time]
        for (patient, flipped), entry in zip(patients, entries, strict=True)
        for time in TIMES
    }


def encode_scans(inputs: tuple[Patient, bool, Encode], _settings: object) -> Made:
    """Encode both scans of a patient, flipped or not."""
    patient, flipped, encode = inputs
    return Made({time: _encoded(np.asarray(getattr(patient, time)), flipped, encode) for time in TIMES})


def _encoded(scan: np.ndarray, flipped: bool, encode: Encode) -> np.ndarray:
    volume = torch.from_numpy(scan)
    slices = volume.flip(-1) if flipped else volume
    return torch.cat([encode(part.float() / 255).cpu() for part in slices.split(_AT_ONCE)]).half().numpy()
