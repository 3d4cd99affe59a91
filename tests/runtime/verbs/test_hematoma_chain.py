"""The hematoma pipeline from end to end at a tiny size, on two processes: what each stage leaves for the next."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest

from medzoo.datamodules import HeadPhantom
from medzoo.runtime.plan import make_plan
from tests.conftest import call_verb, compose, run_verb

PATIENTS = {"Aare": 30, "Birs": 2, "Doubs": 20, "Kander": 20}
TINY = [
    "experiment=hematoma_demo",
    "logger=csv_only",
    "datamodule.phantom.patients={Aare:30,Birs:2,Doubs:20,Kander:20}",
    "datamodule.batches=1",
    "datamodule.plan={spacing:[5,3,3],patch:[8,32,32],batch_size:2,features:[4,4],strides:[[1,1,1],[2,2,2]],"
    "kernels:[[3,3,3],[3,3,3]]}",
    "trainer.max_epochs=1",
    "trainer.check_val_every_n_epoch=1",
    "trainer.limit_val_batches=2",
    "trainer.limit_test_batches=1",
    "stages.nnunet=null",
    "stages.nnformer=null",
    "stages.unetrpp=null",
    "stages.class_weight=null",
    "stages.balanced_batches=null",
    "stages.synthesis.datamodule.batch_size=2",
    "stages.synthesis.trainer.max_steps=2",
    "stages.synthesis.trainer.val_check_interval=1",
    "stages.synthesis.lightning_module.sampler.steps=2",
    "stages.original.trainer.max_steps=6",
    "stages.original.trainer.val_check_interval=3",
]
PLAN = [
    "datamodule.plan={spacing:[5,1,1],patch:[8,32,32],batch_size:2,features:[4,4],strides:[[1,1,1],[2,2,2]],"
    "kernels:[[3,3,3],[3,3,3]]}"
]
NEXT = ["synthesis", "original", "semibalanced", "balanced"]


def arguments(folder, *overrides):
    return [*TINY, f"datamodule.root={folder / 'data'}", f"hydra.run.dir={folder / 'run'}", *overrides]


def outlined(folder):
    """Masks as good networks would have left them, since networks of one step find nothing."""
    phantom = HeadPhantom(PATIENTS, skull=True, signs="mottled", seed=1)
    cohort = folder / "data" / phantom.name
    phantom.write(cohort)
    for file in cohort.glob("*/*/baseline/iph.nii.gz"):
        image = nib.load(file)
        for fold in (0, 1):
            target = folder / "run" / f"fold_{fold}" / "held_out" / f"{file.parts[-3]}_baseline.nii.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image((255 * (np.asarray(image.dataobj) > 0)).astype(np.uint8), image.affine), target)


@pytest.mark.slow
def test_every_stage_takes_what_the_ones_before_it_left(tmp_path):
    outlined(tmp_path)
    more = ("stages.synthesis.callbacks.synthetic.count=100", "trainer.devices=2")
    done = run_verb("train", *arguments(tmp_path, *more))
    assert done.code == 0, done.output
    run = tmp_path / "run"
    for stage in ("fold_0", "fold_1", *NEXT):
        for file in ("config.yaml", "metrics.json", "split.json", "environment.txt"):
            assert (run / stage / file).is_file(), f"{stage}/{file}"
    split = json.loads((run / "balanced" / "split.json").read_text())["ids"]
    made = [name for name in split["train"] if name.startswith("synthetic_")]
    assert made
    assert not [name for part in ("val", "test") for name in split[part] if name.startswith("synthetic_")]
    assert {name.split("_")[0] for name in split["test"]} == {"Kander"}
    learnt = json.loads((run / "synthesis" / "split.json").read_text())["ids"]["train"]
    assert {name.split("_")[0] for name in learnt} <= {"Aare", "Birs"}, "slices are made of training patients alone"
    with (run / "test_balances.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    assert [row["balances"] for row in rows] == ["none (1:4)", "semibalanced (1:2)", "balanced (1:1)"]
    assert {row["steps"] for row in rows} == {"6"}, "whoever has more slices does not train for longer"
    assert (run / "figures" / "balances_roc.png").is_file()
    assert (run / "original" / "figures" / "gradcam.png").is_file()
    assert "comparisons" in (run / "config.yaml").read_text()
    told = call_verb("predict", f"ckpt_path={run / 'synthesis' / 'checkpoints' / 'last.ckpt'}", f"input={run}")
    assert "this model does not predict" in told.output


ARMS = ("original", "semibalanced", "balanced", "class_weight", "balanced_batches")


@pytest.mark.parametrize("experiment", ["hematoma", "hematoma_demo"])
def test_all_arms_train_and_are_validated_for_equally_many_steps(tmp_path, experiment):
    data = [f"datamodule.root={tmp_path}"]
    if experiment == "hematoma":
        data += ["datamodule.val_hospitals=[a]", "datamodule.test_hospitals=[b]", *PLAN]
    stages = make_plan(compose(tmp_path, f"experiment={experiment}", *data)).stages
    counted = {
        name: tuple(stages[name]["trainer"][key] for key in ("max_epochs", "max_steps", "val_check_interval"))
        for name in ARMS
    }
    assert len(set(counted.values())) == 1, counted
    epochs, steps, interval = counted["original"]
    assert epochs == -1
    assert steps > 0
    assert steps % interval == 0, "the last step is validated"
    assert {stages[name]["trainer"]["check_val_every_n_epoch"] for name in ARMS} == {None}
    assert {stages[name]["lightning_module"]["scheduler_interval"] for name in ARMS} == {"step"}


def plain(config):
    """But for where the data come from, and what names the stage."""
    data = {"_target_", "root", "cohort", "masks", "cut_size", "neighbours", "box", "margin_mm", "expansion", "phantom"}
    data |= {
        "val_hospitals",
        "test_hospitals",
        "resolution",
        "noise",
    }  # of the synthetic slices, which an experiment may lack
    kept = {key: value for key, value in config.items() if key not in ("datamodule", "comparisons", "logger")}
    kept["callbacks"] = {name: value for name, value in config["callbacks"].items() if value}
    return {**kept, "datamodule": {key: value for key, value in config["datamodule"].items() if key not in data}}


@pytest.mark.parametrize(
    ("stage", "experiment"), [("synthesis", "hematoma_synthesis"), ("original", "hematoma_classification")]
)
def test_a_stage_trains_as_its_experiment_does(tmp_path, stage, experiment):
    cohort = ["datamodule.root=x", "datamodule.val_hospitals=[a]", "datamodule.test_hospitals=[b]"]
    chain = make_plan(compose(tmp_path, "experiment=hematoma", *cohort, *PLAN)).stages[stage]
    alone = make_plan(compose(tmp_path, f"experiment={experiment}", "datamodule.root=x")).stages[""]
    assert plain(chain) == plain(alone)
