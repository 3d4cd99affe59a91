"""Batches of patients with several modalities."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from medzoo.datamodules.batches import Augmentation, ResumableBatches
from medzoo.datamodules.liver.records import Patient
from medzoo.datamodules.liver.stored import Images

__all__ = ["CohortBatches", "outcomes_of"]


class CohortBatches(ResumableBatches):
    """A dict of B patients; missing modalities are 0, as marked in `present`.

    | key | what |
    |---|---|
    | `ct` | (B, 1, D, H, W) float32 in [0, 1] |
    | `mr` | (B, 2, D, H, W) float32 in [0, 1], T1 and T2 |
    | `histology` | (B, T, 3, h, w) float32 in [0, 1] |
    | `clinical` | (B, K) float32 |
    | `genomics` | (B, G) float32 |
    | `present` | (B, M) bool, of the used modalities in this order |
    | `label` | (B,) int64, -1 if unknown |
    | `time`, `event` | (B,) float32 months, NaN if unknown; (B,) bool |
    | `scanner` | (B,) int64, index of the scanner; -1 if unknown |
    | `id` | B names |

    Args:
        modalities: By name, images of N patients, or tables (N, ...) float32.
        beside: `present`, `label`, `time`, `event`, `scanner`, each (N, ...).
        ids: N names.
        augment: Augmentation by modality, of images in [0, 1]; each tile of a bag is augmented separately.
        shuffle: A new order in each epoch, which drops up to `world_size - 1` patients to keep ranks even.
        **options: Of `ResumableBatches`.
    """

    def __init__(
        self,
        modalities: Mapping[str, Images | Tensor],
        beside: Mapping[str, Tensor],
        ids: Sequence[str],
        *,
        augment: Mapping[str, Augmentation | None] | None = None,
        shuffle: bool = False,
        **options: int,
    ) -> None:
        super().__init__(**options)
        self.modalities, self.beside, self.ids = modalities, beside, ids
        self.augment, self.shuffle = augment or {}, shuffle

    def plan(self, epoch: int) -> list[Tensor]:
        """Indices of the patients of each batch."""
        count = len(self.ids)
        return self.shuffled_plan(count, epoch) if self.shuffle else self.ordered_plan(count)

    def batch(self, chosen: Tensor, index: int, epoch: int) -> dict[str, Any]:
        """The patients `chosen`."""
        batch: dict[str, Any] = {name: each[chosen] for name, each in {**self.modalities, **self.beside}.items()}
        batch["id"] = [self.ids[number] for number in chosen.tolist()]
        return self._finished(batch, epoch, index + 1, self.rank)

    def finish(self, batch: dict[str, Any], key: Sequence[int]) -> dict[str, Any]:
        """Scale and augment the images of a batch."""
        batch = dict(batch)
        for number, name in enumerate(self.modalities):
            if batch[name].dtype == torch.uint8:
                batch[name] = batch[name].float() / 255
            if augment := self.augment.get(name):
                generator = self.generator(*key, number, device=batch[name].device)
                images = batch[name].flatten(0, 1) if name == "histology" else batch[name]
                batch[name] = augment(images, generator).view_as(batch[name])
        return batch


def outcomes_of(patients: Sequence[Patient], scanners: Sequence[str]) -> dict[str, Tensor]:
    """`label`, `time`, `event` and `scanner` (N,) as batches hold them."""
    places = {name: number for number, name in enumerate(scanners)}
    return {
        "label": torch.tensor([patient.label for patient in patients], dtype=torch.int64),
        "time": torch.tensor([patient.months for patient in patients], dtype=torch.float32),
        "event": torch.tensor([patient.event for patient in patients], dtype=torch.bool),
        "scanner": torch.tensor([places.get(patient.scanner, -1) for patient in patients]),
    }
