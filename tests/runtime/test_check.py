import pytest

from medzoo.runtime.check import check_config, did_you_mean
from medzoo.runtime.errors import UserError

ADAM = "torch.optim.Adam"


def partial(**keywords):
    return {"optimizer": {"_target_": ADAM, "_partial_": True, **keywords}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (partial(learning_rate=1), r"optimizer\.learning_rate: torch\.optim\.Adam takes no 'learning_rate'"),
        (partial(lr="abc"), r"optimizer\.lr: 'abc' does not fit; it should be a valid number"),
        (partial(amsgrad=3), r"optimizer\.amsgrad: 3 does not fit; it should be a valid boolean"),
        ({"x": {"_target_": ADAM}}, r"x\.params: torch\.optim\.Adam needs it"),
        ({"x": {"_target_": "torch.optim.Adan"}}, r"x\._target_: cannot import torch\.optim\.Adan"),
        ({"x": {"_target_": "medzoo.lightning_modules.LatentDiffusionModule"}}, r"x\.clinical_names: .* needs it"),
        ({"x": [{"_target_": "medzoo.models.ClassificationLoss"}]}, r"x\[0\]\.task: .* needs it"),
        ({"_target_": "medzoo.models.ClassificationLoss", "task": "trinary"}, "task: 'trinary' does not fit"),
        ({"_target_": "lightning.Trainer", "max_epoch": 3}, "did you mean 'max_epochs'"),
        ({"_target_": "lightning.Trainer", "precision": "fp8"}, "precision: 'fp8' does not fit"),
        (
            {"_target_": "medzoo.datamodules.MedMNISTDataModule", "name": "x", "batchsize": 3},
            "did you mean 'batch_size'",
        ),
        ({"_target_": "medzoo.datamodules.MedMNISTDataModule", "name": "x", "batch_size": "3"}, "valid integer"),
        (
            {"_target_": "medzoo.datamodules.LiverCohortDataModule", "phantom": {"patients": 3}},
            "phantom: .*by its _target_",
        ),
    ],
)
def test_what_does_not_fit_is_named(config, message):
    with pytest.raises(UserError, match=message):
        check_config(config)


@pytest.mark.parametrize(
    "config",
    [
        partial(lr=0.1, betas=[0.9, 0.99], foreach=None),
        {"_target_": "lightning.Trainer", "devices": "auto", "limit_train_batches": 0.5, "gradient_clip_val": 1},
        {"_target_": "medzoo.models.ClassificationLoss", "task": "binary", "class_weight": [1, 2.5]},
        {"_target_": "medzoo.models.timm_network", "name": "x", "in_channels": 1, "num_classes": 2, "drop_rate": 0.1},
        {"plain": {"values": [1, None, "text"]}},
    ],
)
def test_what_fits_passes(config):
    check_config(config)


def test_all_problems_are_told_at_once():
    with pytest.raises(UserError) as caught:
        check_config({"a": partial(lr="x"), "b": partial(lrr=1)})
    assert len(str(caught.value).splitlines()) == 2


def test_hints():
    assert did_you_mean("resnet81", ["resnet18", "vit"]) == "did you mean 'resnet18'?"
    assert did_you_mean("qqq", ["b", "a"]) == "expected one of: a, b"
