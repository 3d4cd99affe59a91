from types import SimpleNamespace

import torch

from medzoo.callbacks import Progress


def test_an_epoch_without_validation_shows_none(capsys):
    metrics = {"train/loss": torch.tensor(0.5), "val/auc": torch.tensor(0.9)}
    trainer = SimpleNamespace(
        callback_metrics=metrics, is_global_zero=True, max_epochs=4, current_epoch=0, state=SimpleNamespace(fn="test")
    )
    progress = Progress()
    progress._validated = True
    progress.on_train_epoch_end(trainer, None)
    progress.on_train_epoch_start(trainer, None)
    progress.on_train_epoch_end(trainer, None)
    first, second = capsys.readouterr().out.splitlines()
    assert "val/auc 0.9000" in first
    assert "val/auc" not in second
    assert "train/loss 0.5000" in second
    progress.on_validation_end(trainer, None)
    assert progress._validated
