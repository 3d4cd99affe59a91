"""What a user may get wrong: one clear line, exit code 2, and nothing touched."""

import numpy as np
import pytest
import torch

from tests.conftest import SMALL, call_verb

REAL = ["experiment=medmnist_classification", "logger=csv_only"]


def broken_npz(folder):
    rng = np.random.default_rng(0)
    arrays = {f"{split}_images": rng.integers(0, 255, (4, 8, 8), dtype=np.uint8) for split in ("train", "val", "test")}
    np.savez(folder / "x.npz", **arrays, **{f"{s}_labels": np.full((4, 1), 7) for s in ("train", "val", "test")})
    return [f"datamodule.file={folder / 'x.npz'}", "datamodule.task=binary", "datamodule.class_names=[a,b]"]


def damaged_official(folder):
    (folder / "breastmnist.npz").write_bytes(b"PK\x03\x04 cut short")
    return [f"datamodule.root={folder}"]


def pickled_checkpoint(folder):
    torch.save({"state_dict": {}, "danger": pytest.raises}, folder / "x.ckpt")
    return folder / "x.ckpt"


def foreign_checkpoint(folder):
    torch.save({"state_dict": {}}, folder / "x.ckpt")
    return folder / "x.ckpt"


CASES = {
    "unknown key": (["trainer.max_epoch=3"], "trainer.max_epoch: no such key; did you mean 'max_epochs'?"),
    "unknown key, appended": (["+trainer.max_epoch=3"], "did you mean 'max_epochs'?"),
    "unknown top-level key": (["+sed=3"], "sed: no such key; did you mean 'seed'?"),
    "unknown choice": (["lightning_module/net=resnet81"], "lightning_module/net=resnet81: no such option; did you"),
    "unknown experiment": (["experiment=medmnist_clasification"], "did you mean 'medmnist_classification'?"),
    "wrong type": (["lightning_module.optimizer.lr=abc"], "lightning_module.optimizer.lr: 'abc' does not fit"),
    "value out of range": (["datamodule.batch_size=0"], "batch_size=0"),
    "unknown network": (["lightning_module.net.name=resnet81"], "lightning_module.net: MONAI has no network"),
    "unknown metric": (["monitor=val/acu"], "monitor=val/acu: this module logs no such metric; did you mean"),
    "syntax": (["seed=["], "cannot read 'seed=['"),
    "no such device": (["trainer.accelerator=gpu", "trainer.devices=99"], "trainer: "),
    "missing checkpoint": (["ckpt_path={tmp}/nowhere/best.ckpt"], "nowhere/best.ckpt: set ckpt_path to one"),
    "nothing to continue from": (["ckpt_path=last", "hydra.run.dir={tmp}/runs/new"], "checkpoint to continue from"),
    "missing value": ([*REAL, "lightning_module/net=timm"], "lightning_module.net.name"),
    "unknown set": ([*REAL, "datamodule.name=brestmnist"], "no MedMNIST set 'brestmnist'; did you mean breastmnist"),
    "unknown size": ([*REAL, "datamodule.size=100"], "choose datamodule.size from [28, 64, 128, 224]"),
    "missing data file": ([*REAL, "datamodule=npz", "datamodule.file={tmp}/nowhere/x.npz", "datamodule.task=binary",
                           "datamodule.class_names=[a,b]"], "nowhere/x.npz"),
    "unknown label": ([*REAL, "datamodule=npz", broken_npz], "label 7 is outside 0..1"),
    "damaged official file": ([*REAL, damaged_official], "is damaged or another file: its MD5 is"),
    "pickled checkpoint": (["init_from={pickled}"], "it is damaged, or holds objects other than plain data"),
    "data that do not fit": (["test_checkpoint=last", "lightning_module.tta_flips=[5]"], "the data do not fit"),
    "an old name": (["lightning_module.test_time_flips=[1]"], "no such key; it is called tta_flips now"),
    "not of this zoo": (["init_from={foreign}"], "is not a checkpoint of this zoo"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_clear_line_and_exit_code_2(case, tmp_path):
    overrides, message = CASES[case]
    words = []
    for entry in overrides:
        words += entry(tmp_path) if callable(entry) else [entry]
    words = [word.replace("{tmp}", str(tmp_path)) for word in words]
    words = [w.replace("{pickled}", str(pickled_checkpoint(tmp_path))) if "{pickled}" in w else w for w in words]
    words = [w.replace("{foreign}", str(foreign_checkpoint(tmp_path))) if "{foreign}" in w else w for w in words]
    base = [] if REAL[0] in words else SMALL
    where = [] if any("run.dir" in word for word in words) else [f"hydra.run.dir={tmp_path / 'run'}"]
    data = [] if REAL[0] in words else [f"datamodule.root={tmp_path / 'data'}"]

    done = call_verb("train", *base, *data, *where, *words)

    assert done.code == 2, done.output
    assert len(done.error) == 1, done.output
    assert message in done.error[0], done.output
    assert "Traceback" not in done.output
    assert not list(tmp_path.glob("run*/**/*.ckpt")), "nothing was trained"


@pytest.mark.parametrize(
    ("verb", "words", "message"),
    [
        ("predict", ["ckpt_path={best}", "input={empty}/nowhere"], "input: no file or folder {empty}/nowhere"),
        ("predict", ["ckpt_path={best}", "input={empty}"], "no image to read"),
        ("predict", ["ckpt_path={best}"], "input"),
        ("predict", ["ckpt_path={best}", "input={empty}", "expansion=0.3"], "expansion: this model takes no expansion"),
        (
            "predict",
            ["ckpt_path={best}", "input={empty}", "perturb.Age=[50,70]"],
            "perturb: this model takes no perturb",
        ),
        ("predict", ["ckpt_path={best}", "input={empty}", "sample=3"], "sample: no such key; did you mean 'samples'?"),
        ("evaluate", ["ckpt_path={best}", "datamodule.batchsize=3"], "did you mean 'batch_size'"),
        ("evaluate", ["ckpt_path={best}", "lightning_module.net.widen_factor=1"], "is of another model"),
        ("train", [*SMALL, "init_from={best}", "lightning_module.net.widen_factor=1"], "is of another model: net."),
        (
            "train",
            [*SMALL, "ckpt_path={best}", "trainer.max_epochs=3"],
            "the learning-rate schedule of this checkpoint",
        ),
        ("prepare", ["datamodule=medmnst"], "did you mean 'medmnist'"),
    ],
)
def test_other_verbs_tell_mistakes_alike(verb, words, message, trained, tmp_path):
    best, empty = trained / "checkpoints" / "best.ckpt", tmp_path / "empty"
    empty.mkdir()
    words = [word.format(best=best, empty=empty) for word in words]
    done = call_verb(verb, *words, f"hydra.run.dir={tmp_path / 'run'}")
    assert done.code == 2, done.output
    assert message.format(empty=empty) in done.error[0], done.output
