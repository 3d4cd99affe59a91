"""Collects what the steps of a test or a prediction return, over all batches and ranks."""

from collections.abc import Collection, Mapping
from typing import Any, Generic, TypeVar, cast

import lightning as L
import numpy as np
import torch
import torch.distributed
from lightning.pytorch.utilities.types import STEP_OUTPUT

__all__ = ["Batch", "Collect", "Predictions", "data_of", "gather"]

Batch = Mapping[str, Any]
"""What a loader gives, or a step returns: tensors by name, and `id`, a list of names."""

Predictions = dict[str, Any]
"""`id`, a list of N names, and arrays (N, ...) in the same order."""

Item = TypeVar("Item")
Module = TypeVar("Module")
Data = TypeVar("Data")


class Collect(L.Callback, Generic[Module, Data]):
    """Keeps what is needed of each batch, and uses it at the end of the test or the prediction.

    By default it keeps all that the step returns; `predictions` merges that over batches and ranks. `Module` and `Data`
    are what a subclass expects of the module and the datamodule.
    """

    stages: Collection[str] = ("test", "predict")
    """Where it collects."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget earlier batches."""
        self._outputs: list[Predictions] = []

    def keep(self, outputs: Batch, batch: Batch, data: Data) -> None:
        """Keep what is needed of a batch, on the CPU.

        Args:
            outputs: What the step returned.
            batch: What it was given.
            data: The datamodule.
        """
        self._outputs.append(
            {
                name: each.detach().cpu().numpy() if isinstance(each, torch.Tensor) else each
                for name, each in outputs.items()
            }
        )

    def finish(self, trainer: L.Trainer, module: Module, data: Data, stage: str) -> None:
        """Use what was kept; runs on every rank, for `stage` `test` or `predict`."""
        raise NotImplementedError

    def predictions(self) -> Predictions:
        """Outputs of all batches and ranks, in order of `id`; call it on every rank."""
        return _merge(gather(self._outputs))

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget earlier batches."""
        self.reset()

    def on_predict_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Forget earlier batches."""
        self.reset()

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: STEP_OUTPUT, batch: Batch, *indices: int
    ) -> None:
        """Keep a batch."""
        if "test" in self.stages:
            self.keep(cast(Batch, outputs), batch, data_of(trainer))

    def on_predict_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: STEP_OUTPUT, batch: Batch, *indices: int
    ) -> None:
        """Keep a batch."""
        if "predict" in self.stages:
            self.keep(cast(Batch, outputs), batch, data_of(trainer))

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Finish the test."""
        if "test" in self.stages:
            self.finish(trainer, cast(Module, pl_module), data_of(trainer), "test")

    def on_predict_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Finish the prediction."""
        if "predict" in self.stages:
            self.finish(trainer, cast(Module, pl_module), data_of(trainer), "predict")


def data_of(trainer: L.Trainer) -> Any:
    """The datamodule of a run; the caller's annotation says what it needs of it."""
    return trainer.datamodule  # type: ignore[attr-defined]


def gather(items: list[Item]) -> list[Item]:
    """Items of all ranks, on every rank."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return items
    per_rank: list[list[Item]] = [[] for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(per_rank, items)
    return [item for rank in per_rank for item in rank]


def _merge(outputs: list[Predictions]) -> Predictions:
    if not outputs:
        raise ValueError("there is nothing to test or to predict on")
    ids = [name for part in outputs for name in part["id"]]
    order = np.argsort(ids, kind="stable")
    merged = {key: np.concatenate([part[key] for part in outputs])[order] for key in outputs[0] if key != "id"}
    return {"id": [ids[place] for place in order], **merged}
