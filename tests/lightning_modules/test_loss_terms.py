import pytest
import torch

from medzoo.lightning_modules.loss_terms import LogsLossTerms

TERMS = {"error": torch.tensor(1.0), "loss": torch.tensor(3.0)}


@pytest.fixture
def logged(monkeypatch):
    """What Lightning's own `log` is given, by name."""
    found = {}
    monkeypatch.setattr(
        "lightning.LightningModule.log", lambda self, name, value, **options: found.update({name: options})
    )
    return found


def test_a_step_logs_each_term_and_an_epoch_the_total(logged):
    assert LogsLossTerms().log_training(TERMS, 5) is TERMS["loss"]
    assert list(logged) == ["train/error_step", "train/loss_step", "train/loss"]
    step, epoch = logged["train/error_step"], logged["train/loss"]
    assert (step["on_step"], step["on_epoch"], step["sync_dist"], step["batch_size"]) == (True, False, False, 5.0)
    assert (epoch["on_step"], epoch["on_epoch"], epoch["sync_dist"], epoch["batch_size"]) == (False, True, True, 5.0)
    assert isinstance(epoch["batch_size"], float), "Lightning truncates integers that ranks average"


def test_an_evaluation_logs_means_over_the_split(logged):
    LogsLossTerms().log_evaluation("val", TERMS, 1, prog_bar=True)
    assert list(logged) == ["val/error", "val/loss"]
    assert all(each["on_epoch"] and each["sync_dist"] and each["prog_bar"] for each in logged.values())
