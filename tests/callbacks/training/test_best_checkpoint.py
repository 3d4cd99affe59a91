import logging

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from medzoo.callbacks import BestCheckpoint


class Scripted(L.LightningModule):
    """Logs given numbers, one of each list for every epoch."""

    def __init__(self, **series):
        super().__init__()
        self.weight, self.series = nn.Parameter(torch.zeros(1)), series

    def training_step(self, batch, batch_idx):
        return (self.weight * batch).sum()

    def validation_step(self, batch, batch_idx):
        for name, values in self.series.items():
            self.log(f"val/{name}", values[self.current_epoch], batch_size=1)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run(folder, epochs, series, start=None, **options):
    options = {"monitor": "val/auc", "mode": "max", **options}
    best = BestCheckpoint(dirpath=folder, filename="best", auto_insert_metric_name=False, **options)
    last = L.pytorch.callbacks.ModelCheckpoint(folder, "last", every_n_epochs=1, save_on_train_epoch_end=True)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(accelerator="cpu", max_epochs=epochs, num_sanity_val_steps=0, callbacks=[best, last], **quiet)
    batches = DataLoader([torch.ones(1)], batch_size=None)
    trainer.fit(Scripted(**series), batches, batches, ckpt_path=start, weights_only=True)
    return best


def kept_epoch(folder):
    return torch.load(folder / "best.ckpt", weights_only=True)["epoch"]


AUC, LOSS = [0.9, 1.0, 1.0, 1.0, 1.0, 0.8], [0.2, 0.7, 0.5, 0.3, 0.4, 0.1]


def test_of_equal_epochs_the_one_with_the_lowest_loss_is_kept_and_told(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "medzoo.callbacks.training.best_checkpoint"):
        best = run(tmp_path, 6, {"auc": AUC, "loss": LOSS})
    assert kept_epoch(tmp_path) == 3
    assert float(best.best_model_score) == 1.0
    (told,) = [
        record.message for record in caplog.records if record.name == "medzoo.callbacks.training.best_checkpoint"
    ]
    assert told == "val/auc is 1 after 4 validations: kept epoch 4, whose val/loss is lowest, 0.3 (epoch 2: 0.7)"


@pytest.mark.parametrize("stopped", [2, 3, 4, 5])
@pytest.mark.parametrize("file", ["last", "best"])
def test_ties_survive_an_interruption(tmp_path, caplog, stopped, file):
    run(tmp_path, stopped, {"auc": AUC, "loss": LOSS})
    with caplog.at_level(logging.INFO, "medzoo.callbacks.training.best_checkpoint"):
        run(tmp_path, 6, {"auc": AUC, "loss": LOSS}, start=tmp_path / f"{file}.ckpt")
    assert kept_epoch(tmp_path) == 3
    assert "after 4 validations: kept epoch 4, whose val/loss is lowest, 0.3 (epoch 2: 0.7)" in caplog.text


@pytest.mark.parametrize(
    ("series", "options", "epoch"),
    [
        ({"auc": [0.5, 0.9, 0.9, 0.8], "loss": [0.1, 0.3, 0.4, 0.1]}, {}, 1),  # the first is the best
        ({"auc": [0.5, 0.9, 0.9 + 1e-8, 0.8], "loss": [0.1, 0.3, 0.4, 0.1]}, {}, 1),  # equal but for rounding
        ({"auc": [0.5, 0.9, 0.901, 0.8], "loss": [0.1, 0.3, 0.4, 0.1]}, {}, 2),  # a better value always wins
        ({"auc": [0.9, 0.9, 0.9]}, {}, 0),  # no loss is logged
        ({"auc": [0.9, 0.9, 0.9], "loss": [0.3, 0.2, 0.1]}, {"tie_break": None}, 0),
        ({"auc": [0.9, 0.9, 0.9], "loss": [float("nan"), 0.3, 0.2]}, {}, 0),  # nothing to compare with
        ({"auc": [float("nan")] * 3, "loss": [0.3, 0.1, 0.2]}, {}, 1),  # of a class that no case has
        ({"auc": [float("nan"), 0.1, float("nan")], "loss": [0.3, 0.4, 0.2]}, {}, 1),
        ({"loss": [0.3, 0.1, 0.1, 0.2]}, {"monitor": "val/loss", "mode": "min"}, 1),
        ({"error": [0.0, 0.0, 0.1], "loss": [0.3, 0.2, 0.1]}, {"monitor": "val/error", "mode": "min"}, 1),
    ],
)
def test_which_epoch_is_kept(tmp_path, series, options, epoch):
    run(tmp_path, len(next(iter(series.values()))), series, **options)
    assert kept_epoch(tmp_path) == epoch


def test_without_a_tie_nothing_is_said(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "medzoo.callbacks.training.best_checkpoint"):
        run(tmp_path, 3, {"auc": [0.8, 0.9, 0.8], "loss": [0.3, 0.2, 0.1]})
    assert not [record for record in caplog.records if record.name == "medzoo.callbacks.training.best_checkpoint"]
