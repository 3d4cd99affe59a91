"""Writes the predictions of a network for all cases that it was not trained on, for later stages to use."""

import logging
from collections.abc import Iterable, Sequence, Sized
from pathlib import Path
from typing import Protocol

import lightning as L
import numpy as np
import torch
from rich.progress import track

from medzoo.callbacks.collect import Batch, data_of

__all__ = ["HeldOutMasks"]

log = logging.getLogger(__name__)


class Case(Protocol):
    """A case: its name and the files of its channels."""

    id: str
    images: Sequence[Path]


class Data(Protocol):
    """Members of the datamodule that are used."""

    held_out_cases: Sequence[Case]

    def ending(self, case: Case) -> str:
        """The ending of the case's files, such as `.png`."""

    def held_out_dataloader(self, names: Sized) -> Iterable[Batch]:
        """Batches of one of these cases each."""

    def write_like(self, mask: np.ndarray, source: Path, file: Path) -> None:
        """Write a mask on the grid of an image."""


class HeldOutMasks(L.Callback):
    """Writes `held_out/<case>.nii.gz`: the probability of foreground in 255ths (uint8), on the grid of the file.

    For pictures it writes `<case>.png`. With such a folder for each fold, a training patient is in that of the one
    network that has not seen them; all others are in every folder, to be averaged. Files that exist are kept, so an
    interrupted run goes on.
    """

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Predict and write."""
        if getattr(trainer, "fast_dev_run", False):
            return
        datamodule: Data = data_of(trainer)
        folder = Path(trainer.default_root_dir) / "held_out"
        folder.mkdir(parents=True, exist_ok=True)
        endings = {case.id: datamodule.ending(case) for case in datamodule.held_out_cases}
        files = {name: folder / f"{name}{'.png' if end == '.png' else '.nii.gz'}" for name, end in endings.items()}
        sources = {case.id: case.images[0] for case in datamodule.held_out_cases if not files[case.id].exists()}
        quiet = len(sources) < 20 or not trainer.is_global_zero
        batches = datamodule.held_out_dataloader(sources)
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            for batch in track(batches, "outlining", len(sources), transient=True, disable=quiet):
                name = batch["id"][0]
                moved = pl_module.transfer_batch_to_device(batch, pl_module.device, 0)
                background = pl_module.predict_step(moved, 0)["probability"][0, 0].float().cpu().numpy()
                levels = np.rint(255 * (1 - background)).astype(np.uint8)
                datamodule.write_like(levels, sources[name], files[name])
