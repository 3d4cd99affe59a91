"""A callback that ends training in the middle of its schedule."""

import os

import lightning as L


class StopAfter(L.Callback):
    """Stops after as many epochs as the environment names, so that the config says nothing of it."""

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop after the epoch."""
        trainer.should_stop = str(trainer.current_epoch + 1) == os.environ.get("MEDZOO_TEST_STOP_AFTER")
