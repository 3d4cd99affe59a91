"""Collects what test and predict steps return, over all batches and ranks."""

from typing import Any

import lightning as L
import numpy as np
import torch
import torch.distributed

__all__ = ["CollectPredictions", "data_of", "gather"]

Collected = dict[str, Any]


class CollectPredictions(L.Callback):
    """Gathers ids, probabilities and labels of a whole test or prediction run and hands them to `finish`."""

    def __init__(self) -> None:
        self._parts: list[Collected] = []

    def finish(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str, collected: Collected) -> None:
        """Use what was collected; runs on every rank with the same data.

        Args:
            trainer: The trainer.
            pl_module: The module.
            stage: `test` or `predict`.
            collected: `id` (list of N names), `prob` (N, K) and, where known, `label` arrays, in order of id.
        """
        raise NotImplementedError

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start anew."""
        self._parts = []

    def on_predict_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start anew."""
        self._parts = []

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: int
    ) -> None:
        """Keep a batch."""
        self._parts.append(_to_numpy(outputs))

    def on_predict_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: int
    ) -> None:
        """Keep a batch."""
        self._parts.append(_to_numpy(outputs))

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Hand over the test predictions."""
        self.finish(trainer, pl_module, "test", _merge(gather(self._parts)))

    def on_predict_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Hand over the predictions."""
        self.finish(trainer, pl_module, "predict", _merge(gather(self._parts)))


def data_of(trainer: L.Trainer) -> Any:
    """The datamodule of a run, of whatever class: what a callback asks of it says its docstring."""
    return trainer.datamodule  # type: ignore[attr-defined]


def gather(items: list[Any]) -> list[Any]:
    """Items of all ranks, on every rank."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return items
    per_rank: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(per_rank, items)
    return [item for rank in per_rank for item in rank]


def _to_numpy(outputs: Collected) -> Collected:
    return {k: v.detach().cpu().numpy() if isinstance(v, torch.Tensor) else v for k, v in outputs.items()}


def _merge(parts: list[Collected]) -> Collected:
    ids = [name for part in parts for name in part["id"]]
    if not parts:
        raise ValueError("there is nothing to test or to predict on")
    order = np.argsort(ids, kind="stable")
    merged: Collected = {"id": [ids[i] for i in order]}
    for key in parts[0]:
        if key != "id":
            merged[key] = np.concatenate([part[key] for part in parts])[order]
    return merged
