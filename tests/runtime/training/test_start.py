from types import SimpleNamespace

import lightning as L
import pytest
import torch

from medzoo.runtime.checkpoints.checkpoint import without_pretrained
from medzoo.runtime.errors import UserError
from medzoo.runtime.training.start import SameSchedule, check_intensities, check_names, goes_on, try_out

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


@pytest.mark.parametrize("end", ["total_steps", "T_max", "total_iters"])
def test_a_schedule_of_another_length_is_told_before_the_first_step(end):
    now = SimpleNamespace(scheduler=SimpleNamespace(state_dict=lambda: {end: 48, "last_epoch": 0}), interval="step")
    trainer, guard = SimpleNamespace(lr_scheduler_configs=[now]), SameSchedule()
    guard.on_fit_start(trainer, None)  # a run that begins
    guard.on_load_checkpoint(trainer, None, {"lr_schedulers": [{end: 48, "last_epoch": 24}]})
    guard.on_fit_start(trainer, None)
    guard.on_load_checkpoint(trainer, None, {"lr_schedulers": [{end: 24, "last_epoch": 24}]})
    with pytest.raises(UserError, match=r"ends after 24 steps, and that of this run after 48.*init_from"):
        guard.on_fit_start(trainer, None)


def test_data_are_normalised_as_pretrained_weights_expect(caplog):
    module = torch.nn.Sequential(torch.nn.Linear(1, 1))
    check_intensities(module, SimpleNamespace(mean=0.5, std=0.5))
    module[0].trained_on = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    check_intensities(module, SimpleNamespace(mean=0.449, std=0.226))
    with pytest.raises(UserError, match=r"write datamodule\.mean=0\.449 datamodule\.std=0\.226"):
        check_intensities(module, SimpleNamespace(mean=0.5, std=0.5))
    check_intensities(module, SimpleNamespace())
    assert "the data have 0 and 1" in caplog.text


@pytest.mark.parametrize("key", ["ckpt_path", "init_from"])
def test_a_stage_that_goes_on_needs_no_pretrained_weights(key, tmp_path):
    config = {"auto_resume": False, "ckpt_path": None, "init_from": None}
    assert not goes_on(config, tmp_path)
    assert goes_on(config | {key: "x.ckpt"}, tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert goes_on(config | {"auto_resume": True}, tmp_path)


def test_pretrained_weights_of_an_earlier_stage_stay():
    net = {"_target_": "medzoo.models.timm_network", "pretrained": True}
    given = {"pretrained": "genesis", "net": net, "encoders": [net]}
    off = {**net, "pretrained": False}
    assert without_pretrained(given) == {"pretrained": "genesis", "net": off, "encoders": [off]}
    assert net["pretrained"] is True, "the config of the run stays as it is"
