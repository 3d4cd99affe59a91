"""What a network says of every case that it was not trained on, for whatever is built on masks later."""

import logging
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from rich.progress import track

from medzoo.callbacks.collect import data_of

__all__ = ["HeldOutMasks"]

log = logging.getLogger(__name__)


class HeldOutMasks(L.Callback):
    """Writes `held_out/<case>.nii.gz`: the probability of foreground in 255ths (uint8), on the grid of the file.

    Of pictures it is `<case>.png`.
    With one such folder for each fold, a training patient stands in that of the one network that has not seen them, and
    all others in all of them, to be averaged. What is there already is left, so an interrupted run goes on.
    """

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Predict and write."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        folder, datamodule = Path(trainer.default_root_dir) / "held_out", data_of(trainer)
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
                said: Any = pl_module.predict_step(moved, 0)
                levels = np.rint(255 * (1 - said["probability"][0, 0].float().cpu().numpy())).astype(np.uint8)
                datamodule.write_like(levels, sources[name], files[name])
