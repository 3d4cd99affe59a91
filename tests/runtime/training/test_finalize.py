import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from medzoo.runtime.errors import UserError
from medzoo.runtime.training.finalize import finalize


class Mean(L.LightningModule):
    """Fits the mean of its training data."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.seen = None

    def finalize(self, datamodule):
        self.seen = self.training, torch.is_grad_enabled()
        if self.seen == (False, False):
            self.mean.copy_(torch.cat(list(datamodule.train_dataloader())).mean())


class Data(L.LightningDataModule):
    def train_dataloader(self):
        return DataLoader(torch.arange(5.0), batch_size=2)


def trainer():
    return L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)


def test_finalize_fits_in_evaluation_mode_without_gradients():
    module = Mean().train()
    finalize(trainer(), module, Data())
    assert module.seen == (False, False)
    assert module.mean == 2


def test_a_module_without_finalize_is_left_alone():
    module = L.LightningModule().train()
    finalize(trainer(), module, Data())
    assert module.training


def test_what_cannot_be_fitted_is_told_in_one_line():
    class Cannot(Mean):
        def finalize(self, datamodule):
            raise ValueError("a risk model needs patients with and without expansion")

    with pytest.raises(UserError, match="needs patients with and without expansion"):
        finalize(trainer(), Cannot(), Data())
