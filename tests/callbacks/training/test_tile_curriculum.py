"""The curriculum of tiles: its schedule, and what it reaches."""

import functools
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from medzoo.callbacks import TileCurriculum
from medzoo.lightning_modules import FusionModule
from medzoo.models import LateFusion, TableEncoder, TileEncoder

SIZES = {"modalities": ("histology", "clinical"), "num_classes": 2, "dim": 4}


class Told(L.Callback):
    """The share in each epoch."""

    def __init__(self):
        self.shares = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.shares.append(pl_module.net.encoders["histology"].hidden_share)


def test_the_share_grows_evenly_between_two_epochs():
    curriculum = TileCurriculum(share=0.6, start=2, full=5)
    assert [curriculum.share_in(epoch) for epoch in range(7)] == pytest.approx([0, 0, 0, 0.2, 0.4, 0.6, 0.6])


def test_a_training_hides_more_and_more_tiles():
    encoders = {
        "histology": TileEncoder("ghostnet_050", dim=4, small_stem=True),
        "clinical": TableEncoder(features=3, dim=4),
    }
    optimizer = functools.partial(torch.optim.SGD, lr=0.01)
    module = FusionModule(encoders, LateFusion(**SIZES), optimizer, **SIZES)
    rows = {"histology": torch.randn(4, 2, 3, 16, 16), "clinical": torch.randn(4, 3)}
    batch = {**rows, "present": torch.ones(4, 2).bool(), "label": torch.tensor([0, 1, 0, 1]), "id": list("abcd")}
    told = Told()
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    curriculum = TileCurriculum(share=0.5, start=1, full=3)
    trainer = L.Trainer(max_epochs=4, callbacks=[curriculum, told], accelerator="cpu", **quiet)
    trainer.fit(module, DataLoader([batch], batch_size=None))
    assert told.shares == [0, 0, 0.25, 0.5]


def test_what_it_cannot_do_is_told():
    with pytest.raises(ValueError, match="start=3 below full=3"):
        TileCurriculum(start=3, full=3)
    without = SimpleNamespace(net=SimpleNamespace(encoders={"histology": torch.nn.Identity()}))
    with pytest.raises(ValueError, match="no encoder of tiles for histology"):
        TileCurriculum().on_train_epoch_start(SimpleNamespace(current_epoch=0), without)
