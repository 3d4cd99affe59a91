from pathlib import Path

import lightning as L
import pytest
import torch

from medzoo.models.fitted.part import FittedPart
from medzoo.runtime.checkpoints.checkpoint import initialise
from medzoo.runtime.errors import UserError


class Fitted(L.LightningModule):
    def __init__(self, width=2):
        super().__init__()
        self.layer, self.part = torch.nn.Linear(width, 1), FittedPart()
        self.part.declare("common")


def test_weights_from_before_the_fit_load_after_it():
    """The best checkpoint is finished first, then the last one, which was written before either."""
    module, before = Fitted(), Fitted().state_dict()
    module.part.take(common=[0.25, 0.75])
    initialise(module, {"state_dict": before}, Path("last.ckpt"))
    assert module.part.common.numel() == 0
    assert not module.part.fitted


def test_weights_of_another_shape_are_told():
    with pytest.raises(UserError, match=r"layer.weight is \(1, 3\) in the checkpoint and \(1, 2\) in this config"):
        initialise(Fitted(), {"state_dict": Fitted(3).state_dict()}, Path("last.ckpt"))
