from types import SimpleNamespace

import lightning as L
import pytest
import torch

from runtime.errors import UserError
from runtime.start import check_names, try_out

BATCH = {"image": torch.zeros(5, 1, 4, 4), "clinical": {"Age": torch.ones(5)}, "id": list("abcde")}


class Records(L.LightningModule):
    """Keeps what its steps were given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def training_step(self, batch, batch_idx):
        self.given.append(("training_step", batch))

    def predict_step(self, batch, batch_idx):
        self.given.append(("predict_step", batch))


def test_both_steps_get_two_examples():
    module = Records()
    try_out(module, [BATCH])
    assert [name for name, _ in module.given] == ["training_step", "predict_step"]
    for _, batch in module.given:
        assert batch["image"].shape == (2, 1, 4, 4)
        assert batch["clinical"]["Age"].shape == (2,)
        assert batch["id"] == ["a", "b"]
    assert module.training, "left as it was"


@pytest.mark.parametrize(
    ("dry_steps", "asked", "tried"),
    [
        (["training_step"], ["training_step", "predict_step"], ["training_step"]),
        (["training_step"], ["predict_step"], []),
        (["training_step", "predict_step"], ["predict_step"], ["predict_step"]),
    ],
)
def test_a_module_says_which_steps_fit_a_batch_of_examples(dry_steps, asked, tried):
    module = Records()
    module.dry_steps = dry_steps
    try_out(module, [BATCH], asked)
    assert [name for name, _ in module.given] == tried


def test_what_does_not_fit_is_told_with_its_shapes():
    module = Records()
    module.training_step = lambda batch, _: torch.zeros(3) + batch["image"]
    with pytest.raises(UserError, match=r"on examples of shape image \(1, 4, 4\), The size of tensor"):
        try_out(module, [BATCH])


def test_only_names_that_are_asked_for_are_checked():
    config = {"test_checkpoint": "best", "monitor": "val/loss", "optimized_metric": "val/crps"}
    check_names(config, SimpleNamespace(metric_names=["val/loss"]), ["monitor"])
    with pytest.raises(UserError, match="optimized_metric=val/crps: this module logs no such metric"):
        check_names(config, SimpleNamespace(metric_names=["val/loss"]), ["monitor", "optimized_metric"])
