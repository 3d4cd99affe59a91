import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import lightning as L
import pytest
import torch
from torch import nn

from medzoo.lightning_modules import ClassificationModule
from medzoo.lightning_modules.optimization import OptimizedModule
from medzoo.runtime.build import make_trainer
from medzoo.runtime.errors import UserError
from medzoo.runtime.training.ranks import workers
from medzoo.runtime.training.strategy import fitting_strategy, warn_of_emulation
from tests.conftest import ROOT, SMALL, run_verb, train

NEEDS = "ddp_find_unused_parameters_true"
TWO = {"accelerator": "cpu", "devices": 2, "strategy": "auto"}
QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


class ByHand(OptimizedModule):
    """With several optimisers."""

    def __init__(self):
        super().__init__(torch.optim.Adam)
        self.automatic_optimization = False


def test_auto_follows_the_module_on_several_devices_alone():
    module = ByHand()
    assert fitting_strategy(TWO, module) == NEEDS
    assert fitting_strategy({**TWO, "devices": 1}, module) == "auto"
    assert fitting_strategy({**TWO, "devices": "auto"}, module) == "auto", "one process on a CPU"
    assert fitting_strategy({**TWO, "strategy": NEEDS}, module) == NEEDS
    assert fitting_strategy(TWO, nn.Identity()) == "auto", "one optimiser"


@pytest.mark.parametrize("strategy", ["ddp", "fsdp", {"_target_": "lightning.pytorch.strategies.DDPStrategy"}])
def test_a_strategy_that_cannot_train_the_module_is_refused_with_the_reason(strategy):
    with pytest.raises(UserError, match=r"trainer.strategy=.* cannot train ByHand: not every backward pass") as told:
        fitting_strategy({**TWO, "strategy": strategy}, ByHand())
    assert "trainer.strategy=auto" in str(told.value)


class Watches(L.Callback):
    def __init__(self):
        self.seen = []

    def on_test_batch_end(self, trainer, pl_module, outputs, batch, *indices):
        self.seen += batch["id"]


def test_a_stand_in_counts_for_nothing(tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    adam = partial(torch.optim.Adam, lr=0.1)
    module = ClassificationModule(net, nn.CrossEntropyLoss(), adam, task="binary", num_classes=2)
    image = torch.randn(6, 1, 2, 2)
    batches = [
        {"image": image[:4], "label": torch.tensor([0, 1, 1, 0]), "id": list("abcd")},
        {"image": image[4:], "label": torch.tensor([0, 1]), "id": list("ef")},
    ]
    found, seen = [], []
    for given in (batches[:1], [batches[0], {**batches[1], "stand_in": True}]):
        watches = Watches()
        trainer = make_trainer(
            {"_target_": "lightning.Trainer", "accelerator": "cpu", **QUIET}, tmp_path, callbacks=[watches]
        )
        trainer.test(module, Listed(given), verbose=False)
        found.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        seen.append(watches.seen)
    assert found[0] == pytest.approx(found[1])
    assert seen == [list("abcd")] * 2
    assert len(found[0]) == 3


class Listed(L.LightningDataModule):
    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def test_dataloader(self):
        return torch.utils.data.DataLoader(self.batches, batch_size=None)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "size"), [(9, 2), (3, 4)])  # an odd number of batches; fewer batches than ranks
def test_two_processes_measure_what_one_does(tmp_path, count, size):
    one = train(tmp_path / "one", f"datamodule.counts=[16,{count},{count}]", "trainer.max_epochs=1")
    found = []
    for devices in (1, 2):
        run = tmp_path / f"devices_{devices}"
        done = run_verb(
            "evaluate",
            f"ckpt_path={tmp_path / 'one' / 'checkpoints' / 'best.ckpt'}",
            f"datamodule.batch_size={size}",
            f"trainer.devices={devices}",
            "trainer.accelerator=cpu",
            f"hydra.run.dir={run}",
        )
        assert done.code == 0, done.output
        found.append(json.loads((run / "metrics.json").read_text()))
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0]["test/auc"] == pytest.approx(one["test/auc"])
    texts = [(tmp_path / f"devices_{devices}" / "predictions" / "test.csv").read_text() for devices in (1, 2)]
    assert texts[0].count("\n") == texts[1].count("\n") == count + 1


def group(process):
    """Running processes of the group that a process leads."""
    process.poll()
    listed = subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, text=True).stdout
    return [int(pid) for pid in listed.split()]


@pytest.mark.slow
def test_sigterm_ends_all_processes_and_leaves_a_checkpoint_that_resumes(tmp_path):
    words = [*SMALL, f"datamodule.root={tmp_path / 'data'}", f"hydra.run.dir={tmp_path / 'run'}", "trainer.devices=2"]
    words += ["trainer.accelerator=cpu", "trainer.max_epochs=400", "lightning_module/scheduler=constant"]
    command = [sys.executable, "train.py", *words]
    last, log = tmp_path / "run" / "checkpoints" / "last.ckpt", tmp_path / "log.txt"
    with log.open("w") as opened:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ}, stdout=opened, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 200
            while not last.is_file() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 30
            while (left := group(process)) and time.monotonic() < deadline:
                time.sleep(0.2)
        finally:
            for pid in group(process):
                os.kill(pid, signal.SIGKILL)
    assert last.is_file(), log.read_text()[-3000:]
    assert not left, "no process is left behind"
    steps = torch.load(last, weights_only=True)["global_step"]
    epochs = steps // 3 + 2
    assert not (tmp_path / "run" / "metrics.json").is_file()
    resumed = run_verb(
        "train", *words, f"ckpt_path={last}", f"trainer.max_epochs={epochs}", f"hydra.run.dir={tmp_path / 'on'}"
    )
    assert resumed.code == 0, resumed.output
    assert json.loads((tmp_path / "on" / "metrics.json").read_text())["fit/steps"] > steps


@pytest.mark.parametrize(("cores", "devices", "expected"), [(1, 1, 0), (2, 1, 1), (8, 4, 1), (9, 4, 1), (64, 2, 16)])
def test_workers_are_the_cores_that_are_left(monkeypatch, cores, devices, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    trainer = {"accelerator": "cpu", "devices": devices}
    assert workers({"workers": "auto", "trainer": trainer}) == expected
    assert workers({"workers": "auto", "trainer": {**trainer, "num_nodes": 2}}) == expected
    assert workers({"workers": 3, "trainer": trainer}) == 3


@pytest.mark.parametrize("given", [-1, "four", True, 1.5])
def test_a_wrong_number_of_workers_is_told(given):
    with pytest.raises(UserError, match=f"^workers={given}: expected a number of processes"):
        workers({"workers": given})


@pytest.mark.parametrize(
    ("precision", "device", "supported", "told"),
    [
        ("bf16-mixed", "cpu", False, True),
        ("bf16-mixed", "cpu", True, False),
        ("32-true", "cpu", False, False),
        ("bf16-mixed", "meta", False, False),
    ],
)
def test_bfloat16_that_a_processor_has_to_emulate_is_told(monkeypatch, caplog, precision, device, supported, told):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    warn_of_emulation({"precision": precision}, torch.device(device))
    assert ("trainer.precision=32-true is faster" in caplog.text) == told
