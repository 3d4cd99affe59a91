"""Batches made by workers are the same to the bit, for every kind of batches that an experiment uses."""

import gc
import os
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import lightning as L
import psutil
import pytest
import torch

from medzoo.datamodules import loading
from medzoo.datamodules.batches import ResumableBatches, TensorBatches
from medzoo.datamodules.transforms import BatchAugment
from medzoo.runtime.build import instantiate
from medzoo.runtime.plan import make_plan
from tests.conftest import ROOT
from tests.tiny import tiny

# Experiments whose stages have all kinds of batches between them, and settings that give several batches.
EXPERIMENTS = {
    "medmnist_classification": [],
    "hemexp": ["datamodule.batch_size=16"],
    "liver_pretraining": ["stages.genesis.datamodule.batch_size=1"],
    "liver_translation": [],
    "liver_fusion": [
        "datamodule.phantom={patients:24,size:[8,16,16],tile_size:16,workers:1}",
        "datamodule.batch_size=4",
    ],
    "nomogram": ["datamodule.batch_size=8"],
}
IMAGES = torch.randint(0, 256, (40, 1, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Small batches are made by workers too, from the second on."""
    monkeypatch.setattr(loading, "handing_over", lambda size: 0.0)
    monkeypatch.setattr(loading, "_TRIED", 1)


class Named(TensorBatches):
    """Batches that say which process made them, and fail where they are told to."""

    fails_at = -1

    def batch(self, chosen, index, epoch):
        if index == self.fails_at:
            raise ValueError(f"image {index} is damaged: replace it")
        return {**super().batch(chosen, index, epoch), "process": os.getpid()}


def batches(workers=2, kind=Named, **options):
    augment = BatchAugment(noise=0.1)
    names = [f"case_{index}" for index in range(len(IMAGES))]
    return kind(IMAGES, None, names, augment=augment, shuffle=True, batch_size=4, workers=workers, **options)


def same(left, right):
    """Whether two batches are equal to the bit, with equal types."""
    if type(left) is not type(right):
        return False
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left.nan_to_num(7.0), right.nan_to_num(7.0))
    if isinstance(left, dict):
        return [*left] == [*right] and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right or left != left


def kinds(cls=ResumableBatches):
    below = [one for one in cls.__subclasses__() if one.__module__.startswith("medzoo.")]
    return {cls} | {kind for one in below for kind in kinds(one)}


def test_every_kind_of_batches_is_the_same_from_workers_and_resumes_within_an_epoch(tmp_path):
    found = set()
    for experiment, more in EXPERIMENTS.items():
        for stage in make_plan(tiny(experiment, tmp_path / experiment, tmp_path, *more)).stages.values():
            data = instantiate(stage["datamodule"], "datamodule")
            if data.waiting:
                continue
            data.prepare_data()
            data.setup("fit")
            for give in (data.train_dataloader, data.val_dataloader, data.test_dataloader):
                if type(give()) not in found and len(give()) > 1:
                    found.add(type(give()))
                    check(data, give)
    private = {kind for kind in kinds() if kind.__name__.startswith("_")}
    assert found == kinds() - private - {ResumableBatches}


def check(data, give):
    data.workers = 0
    alone = give()
    expected = [[*alone] for _ in range(2)]
    data.workers = 2
    given = give()
    assert given.workers == 2
    for number, epoch in enumerate(expected):
        made = [*given]
        assert all(map(same, epoch, made)), f"{type(given).__name__}, epoch {number}"
        assert len(epoch) == len(made)
    assert given._ahead._loader, f"{type(given).__name__}: made by workers"
    stopped, resumed = give(), give()
    stopped.set_epoch(1)
    [*islice(stopped, 1)]
    resumed.load_state_dict(stopped.state_dict())
    assert all(map(same, expected[1][1:], [*resumed])), f"{type(given).__name__}, from the second batch of an epoch on"


def test_workers_make_the_batches_in_order():
    expected, made = [*batches(0)], [*batches(2)]
    places = [batch.pop("process") for batch in made]
    assert places[0] == os.getpid(), "the first tells whether workers pay off"
    assert len({*places[1:]} - {os.getpid()}) == len({*places[1:]}) == 2
    assert all(same({**one, "process": 0}, {**other, "process": 0}) for one, other in zip(expected, made, strict=True))


def test_the_random_numbers_of_the_training_do_not_depend_on_workers():
    before = torch.get_rng_state()
    [*batches(2)]
    assert torch.equal(before, torch.get_rng_state())


def test_an_epoch_that_is_left_early_does_not_show_in_the_next():
    left, whole = batches(), batches(0)
    [*islice(left, 4)]
    left.set_epoch(1)
    whole.set_epoch(1)
    for _ in range(2):
        assert all(torch.equal(a["image"], b["image"]) for a, b in zip(left, whole, strict=True))


def children():
    """Processes that this one has started, also those of tests before."""
    return {*psutil.Process().children()}


def running(processes):
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_workers_end_with_their_batches():
    before = children()
    made = batches()
    [*islice(made, 3)]
    workers = children() - before
    assert len(workers) == 2
    del made
    gc.collect()
    assert not running(workers)


def test_no_files_stay_open_for_batches_that_are_kept():
    def files():
        return len([*Path("/proc/self/fd").iterdir()])

    before = files()
    made = batches()
    kept = [*made]
    assert len(kept) == 10
    assert files() < before + 12


def test_an_error_in_a_worker_is_raised_as_it_is():
    made = batches()
    made.fails_at = 5
    with pytest.raises(ValueError, match=r"^image 5 is damaged: replace it$") as caught:
        list(made)
    assert caught.traceback[-1].name == "batch", "the error itself, not a report of it"


def test_little_shared_memory_means_fewer_workers_or_none(monkeypatch, caplog):
    size = loading._size(next(iter(batches(0))))

    def with_free(count):
        monkeypatch.setattr(loading.shutil, "disk_usage", lambda path: type("Usage", (), {"free": count}))
        caplog.clear()
        made = batches(2)
        assert all(torch.equal(a["image"], b["image"]) for a, b in zip(made, batches(0), strict=True))
        return made._ahead._workers

    assert with_free(100 * size) == 2
    assert not caplog.records
    assert with_free(5 * size) == 1
    assert "set workers=1" in caplog.text
    assert with_free(3 * size) == 0
    (told,) = caplog.messages
    assert told.endswith("give more with `docker run --shm-size=8g`, or set workers=0")


def test_batches_that_are_made_quickly_are_made_here(monkeypatch):
    monkeypatch.setattr(loading, "handing_over", lambda size: 60.0)
    assert {batch["process"] for batch in batches(2)} == {os.getpid()}


SCRIPT = """
import signal, time, torch
from medzoo.datamodules import loading
from medzoo.datamodules.batches import TensorBatches
from medzoo.runtime.errors import data_errors
loading.handing_over = lambda size: 0.0
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for jobs in the background
batches = TensorBatches(torch.zeros(40, 1, 6, 6), None, ["case"] * 40, batch_size=4, workers=2)
with data_errors():
    for number, batch in enumerate(batches):
        if number == 3:
            print("ready", flush=True)
            time.sleep(100)
"""


def started():
    run = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout.readline() == "ready\n"
    workers = psutil.Process(run.pid).children()
    assert len(workers) == 2
    return run, workers


def test_a_killed_worker_ends_the_run_in_one_line():
    run, workers = started()
    workers[0].kill()
    assert run.wait(20) == 1
    assert "UserError: a process that makes batches ahead was killed; if memory" in run.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_leaves_no_workers(number):
    run, workers = started()
    run.send_signal(number)
    run.wait(20)
    deadline = time.monotonic() + 20  # workers look for their parent every five seconds
    while [one for one in workers if one.is_running()] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [one for one in workers if one.is_running()]


def test_workers_end_at_once_with_a_cycle_of_garbage(monkeypatch):
    monkeypatch.setattr(loading, "handing_over", lambda size: 0.0)
    gc.collect()  # not the garbage of tests before
    before = children()
    cycle = [batches(2)]
    cycle.append(cycle)
    list(cycle[0])
    workers = children() - before
    assert len(workers) == 2
    del cycle
    began = time.monotonic()
    gc.collect()
    assert time.monotonic() - began < 4, "a worker that is not told is waited for five seconds"
    assert not running(workers)


def test_augmentation_on_the_device_is_that_of_the_host(tmp_path, monkeypatch):
    """On a CPU both draw the same numbers, so the whole path can be compared to the bit."""
    seen = {}

    class Module(L.LightningModule):
        automatic_optimization = False

        def training_step(self, batch, index):
            seen[where].append(batch)

        def configure_optimizers(self):
            return None

    for experiment in ("medmnist_classification", "liver_fusion"):
        (*_, stage) = make_plan(
            tiny(experiment, tmp_path / experiment, tmp_path, *EXPERIMENTS[experiment])
        ).stages.values()
        data = instantiate(stage["datamodule"], "datamodule")
        augment = BatchAugment(flip=[0], noise=0.1)
        data.augment = augment if experiment == "medmnist_classification" else {"ct": augment, "histology": augment}
        for where in ("host", "device"):
            seen[where] = []
            monkeypatch.setattr(type(data), "_on_gpu", where == "device")
            quiet = dict.fromkeys(
                ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
            )
            trainer = L.Trainer(
                accelerator="cpu", max_epochs=2, limit_val_batches=0, default_root_dir=tmp_path, **quiet
            )
            trainer.fit(Module(), data)
            assert trainer.train_dataloader.on_device == (where == "device")
            assert ("draw" in next(iter(trainer.train_dataloader))) == (where == "device")
        assert len(seen["host"]) > 3
        assert all(map(same, map(in_order, seen["host"]), map(in_order, seen["device"])))


def in_order(batch):
    return dict(sorted(batch.items()))
