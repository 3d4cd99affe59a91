"""Checkpoints that a thread writes: complete, of the step that they say, in order, and never silently missing."""

import threading

import pytest
import torch
from torch import nn

from medzoo.callbacks import BackgroundCheckpoints, FiniteGuard, TimedCheckpoint
from tests.callbacks.training.test_training import Spoil, fit


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))


def every(folder, **options):
    return TimedCheckpoint(dirpath=folder, filename="{step}", save_top_k=-1, **options)


def test_training_goes_on_while_a_checkpoint_of_an_earlier_step_is_written(tmp_path, monkeypatch):
    save, done = torch.save, threading.Event()
    monkeypatch.setattr(torch, "save", lambda *given: (done.wait(20), save(*given)))

    class Goes(TimedCheckpoint):
        def on_train_end(self, trainer, pl_module):
            assert not [*tmp_path.glob("*.ckpt")]
            done.set()

    slow = Goes(dirpath=tmp_path, filename="{step}", save_top_k=-1, every_n_train_steps=1)
    fit(net(), slow, BackgroundCheckpoints(), enable_checkpointing=True)
    weights = [torch.load(tmp_path / f"step={n}.ckpt", weights_only=True)["state_dict"] for n in range(1, 6)]
    assert len({float(state["net.1.weight"][0].sum()) for state in weights}) == 5

    monkeypatch.undo()
    fit(net(), every(tmp_path / "waiting", every_n_train_steps=1), enable_checkpointing=True)
    for number, state in enumerate(weights, start=1):
        expected = torch.load(tmp_path / "waiting" / f"step={number}.ckpt", weights_only=True)["state_dict"]
        assert all(torch.equal(state[name], weight) for name, weight in expected.items())
    assert sorted(file.suffix for file in tmp_path.iterdir() if file.is_file()) == [".ckpt"] * 5, "nothing half-written"


def test_a_checkpoint_that_cannot_be_written_ends_the_run_in_one_line(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OSError, match=r"could not be written .*: make room, then go on") as told:
        fit(net(), every(tmp_path / "taken" / "x", every_n_train_steps=5), BackgroundCheckpoints(),
            enable_checkpointing=True)  # fmt: skip
    assert "\n" not in str(told.value)


def test_the_clock_decides_when_a_checkpoint_is_written(tmp_path, monkeypatch):
    clock = iter(range(0, 1000, 40))  # a step takes 40 s
    monkeypatch.setattr("lightning.pytorch.callbacks.model_checkpoint.time.monotonic", lambda: next(clock))
    fit(net(), every(tmp_path, minutes=2), enable_checkpointing=True)
    assert [file.name for file in tmp_path.iterdir()] == ["step=3.ckpt"]
    with pytest.raises(ValueError, match="minutes=0: must be positive"):
        TimedCheckpoint(0)


class Late(FiniteGuard):
    """As on a GPU."""

    def _is_here(self, loss):
        return False


def test_a_guard_that_does_not_wait_finds_the_loss_of_the_step_before():
    bad = {"image": torch.full((2, 1, 2, 2), torch.nan), "label": torch.tensor([0, 1]), "id": ["a", "b"]}
    good = bad | {"image": torch.ones(2, 1, 2, 2)}
    for batches in ([good, bad, good, good], [good, bad]):
        with pytest.raises(FloatingPointError, match=r"step 1; first bad tensor: batch\['image'\]"):
            fit(net(), Late(), batches=batches)


def test_no_checkpoint_is_written_after_a_bad_loss(tmp_path):
    broken = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), Spoil(), nn.Linear(3, 2))
    guards = Late(), every(tmp_path, every_n_train_steps=1), BackgroundCheckpoints()
    with pytest.raises(FloatingPointError, match="step 2"):
        fit(broken, *guards, enable_checkpointing=True)
    assert sorted(file.name for file in tmp_path.glob("*.ckpt")) == ["step=1.ckpt", "step=2.ckpt"]
