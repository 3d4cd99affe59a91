import json
from types import SimpleNamespace

import lightning as L
import pytest
import torch

from benchmarks.training import nnunet_trainer
from benchmarks.training.trainers import nnunet_process
from benchmarks.training.trainers.clock import Clock
from benchmarks.training.trainers.data import DATA
from medzoo.datamodules.segmentation.plan import Plan
from medzoo.models import PlainUNet


@pytest.fixture
def sides(tmp_path, monkeypatch):
    """Both sides, without a training: what was asked for, and results that depend on it."""
    asked = []

    def zoo(name, raw, run, *, net, recipe, seed, steps):
        run.mkdir()
        (run / "split.json").write_text(json.dumps({"ids": {"train": ["a"], "val": ["b"], "test": ["c"]}}))
        asked.append((net, recipe, seed, steps))
        cost = {"nnunet": 0.1, "umamba": 0.8, "nnformer": 0.4, "unetrpp": 0.2}[net]
        return {"dice": 0.8 + seed / 100, "cpu_s": cost * steps, "memory_gb": 1.0}

    def peer(name, raw, run, *, split, seed, steps):
        assert split == {"train": ["a"], "val": ["b"], "test": ["c"]}
        asked.append(("peer", "", seed, steps))
        return {"dice": 0.75, "cpu_s": 0.2 * steps, "memory_gb": 2.0}

    monkeypatch.setenv("MEDZOO_BENCHMARKS", str(tmp_path))
    monkeypatch.setattr(nnunet_trainer, "zoo", zoo)
    monkeypatch.setattr(nnunet_trainer, "nnunet", peer)
    monkeypatch.setattr(nnunet_trainer, "not_installed", lambda *_: "")
    head = SimpleNamespace(title="heads", write=lambda folder: folder, steps=240)
    monkeypatch.setattr(nnunet_trainer, "DATA", {"head": head, "away": SimpleNamespace(write=lambda folder: None)})
    return asked


def test_means_of_seeds_stand_beside_those_of_nnunet(sides):
    rows = {row.case: row for row in nnunet_trainer.run(names=["head", "away"])}
    first = rows["heads, 240 steps: U-Net, nnU-Net's recipe, Dice"]
    assert (first.zoo, first.peer, first.met) == (pytest.approx(0.82), pytest.approx(0.75), True)
    assert first.remark == "3 seeds; zoo SD 0.01; peer SD 0"
    assert rows["heads, 240 steps: U-Net, nnU-Net's recipe, training"].zoo == pytest.approx(0.1 * 240 / 60)
    equal = {row.partition(": ")[2].rpartition(", ")[0] for row in rows if "equal minutes" in row}
    assert equal == {"U-Mamba, 60 steps", "nnFormer, 120 steps", "UNETR++, 240 steps"}, "48 s for each"


def test_a_finished_training_is_not_repeated(sides):
    nnunet_trainer.run(names=["head"])
    count = len(sides)
    nnunet_trainer.run(names=["head"])
    assert len(sides) == count


def test_without_nnunet_the_rows_of_the_zoo_remain(sides, monkeypatch):
    monkeypatch.setattr(nnunet_trainer, "not_installed", lambda *_: "peer not installed: pip install nnunetv2")
    rows = nnunet_trainer.run(names=["head"])
    assert not [asked for asked in sides if asked[0] == "peer"]
    assert all(row.peer is None and "pip install nnunetv2" in row.remark for row in rows)


@pytest.mark.parametrize("name", [*DATA])
def test_both_sides_follow_one_plan(name):
    plan = Plan(**DATA[name].plan)
    axes = len(plan.patch)
    net = PlainUNet(axes, 1, 2, plan.features, plan.strides, plan.kernels)
    assert net(torch.zeros(1, 1, *plan.patch))[0].shape == (1, 2, *plan.patch)
    told = {"plan": DATA[name].plan, "configuration": DATA[name].configuration}
    made = nnunet_process._plans(
        told, {"foreground_intensity_properties_per_channel": {}}, {"channel_names": {"0": "CT"}}
    )
    theirs = made["configurations"][DATA[name].configuration]
    assert (theirs["patch_size"], theirs["batch_size"]) == (list(plan.patch), plan.batch_size)
    network = theirs["architecture"]["arch_kwargs"]
    given = [network[key] for key in ("features_per_stage", "strides", "kernel_sizes")]
    assert given == [list(plan.features), [*map(list, plan.strides)], [*map(list, plan.kernels)]]
    built = pytest.importorskip("dynamic_network_architectures.architectures.unet").PlainConvUNet(
        1,
        num_classes=2,
        deep_supervision=True,
        **{key: value for key, value in network.items() if key not in ("conv_op", "norm_op", "nonlin")},
        conv_op={2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[axes],
        norm_op={2: torch.nn.InstanceNorm2d, 3: torch.nn.InstanceNorm3d}[axes],
        nonlin=torch.nn.LeakyReLU,
    )
    assert sum(p.numel() for p in built.parameters()) == sum(p.numel() for p in net.parameters())


def test_the_clock_counts_the_steps_of_training(tmp_path):
    class Busy(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def training_step(self, batch, index):
            torch.linalg.eigvals(torch.rand(200, 200))
            return self.weight.sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    clock = Clock(str(tmp_path / "seconds"))
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", callbacks=[clock], default_root_dir=tmp_path, **quiet)
    trainer.fit(Busy(), torch.utils.data.DataLoader(range(4)))
    assert 0.01 < float((tmp_path / "seconds").read_text()) < 60
